"""The orders' revisions."""
