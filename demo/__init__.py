"""The demo: an embedded launcher, a fake Stripe, a shop, and scripted scenarios that check every effect."""
