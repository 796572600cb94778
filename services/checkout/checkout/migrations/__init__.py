"""The schema's history of the checkout service's database."""
