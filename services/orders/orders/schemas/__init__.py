"""The schemas of requests and responses. Amounts are integers in the currency's minor unit, as Stripe counts it."""
