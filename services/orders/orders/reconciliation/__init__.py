"""Reconciliation: compares Stripe's sessions, payments and refunds with the orders, to the minor unit.

It finds what no webhook reported, also where Stripe never made an event. `run.py` lists the objects and repairs,
`sessions.py` and `refunds.py` compare one object each, `stripe.py` asks Stripe.
"""
