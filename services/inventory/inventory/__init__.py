"""The inventory service: stock, reservations that expire, an append-only movement ledger; never oversells."""
