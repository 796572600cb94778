"""The inventory service: stock, reservations with an end, and an append-only ledger. It never oversells."""
