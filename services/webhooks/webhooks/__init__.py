"""The ingest: verifies Stripe's events and publishes their exact bytes."""
