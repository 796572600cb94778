"""Reconciliation: compares Stripe's sessions, payments, refunds and disputes with the orders, to the minor unit.

It finds changes that no webhook reported, even those for which Stripe never made an event. `run.py` lists the
objects and repairs, `sessions.py`, `refunds.py` and `disputes.py` compare one object each, `stripe.py` asks Stripe.
"""
