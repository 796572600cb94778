"""The orders service's revisions."""
