"""The time and rate from Stripe's post to the last consumer's commit, with the services' own processes."""
