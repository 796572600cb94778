"""The migrations of the checkout service's database."""
