"""The migrations of the orders service's database."""
