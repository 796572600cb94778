"""Delivery: an event from its publisher through the broker to its effect."""
