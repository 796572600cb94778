"""Checkout: the catalogue, and everything about a purchase until Stripe's page opens and after it closes."""
