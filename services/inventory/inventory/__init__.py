"""The inventory service: stock, reservations with an end, an append-only ledger. It reserves only available pieces."""
