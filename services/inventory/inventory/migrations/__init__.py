"""The inventory's revisions."""
