"""The ingest: verifies Stripe's events and hands their exact bytes to the broker."""
