"""The migrations of the inventory service's database."""
