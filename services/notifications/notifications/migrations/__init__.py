"""The revisions of this service's tables."""
