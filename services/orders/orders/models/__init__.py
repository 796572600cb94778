"""The tables of the orders service, one module for each aggregate. chains.py loads all of them."""
