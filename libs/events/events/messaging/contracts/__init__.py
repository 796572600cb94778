"""The contracts between the services: the marshmallow schemas of our own events, by subject.

Schemas dump strictly and load without unknown fields. Adding a field keeps the version. A rename, a removal or a new
meaning is a new version, and both are published until no service reads the old one. Amounts are integers in the
currency's minor unit as Stripe counts it; times are UTC.
"""
