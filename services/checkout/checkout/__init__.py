"""Checkout: the catalog, and every checkout from the cart until it is paid, expired or canceled."""
