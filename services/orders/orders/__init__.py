"""Orders: one per checkout; payments as facts, statuses derived from them."""
