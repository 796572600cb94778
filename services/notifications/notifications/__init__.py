"""Clozit Payments: customers and staff are told by e-mail, once per occasion."""
