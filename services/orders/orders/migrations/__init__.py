"""The revisions of the orders service's tables."""
