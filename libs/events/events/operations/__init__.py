"""Operator actions on events: search, retry, discard, dead letters, republish."""
