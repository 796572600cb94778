"""From Stripe's post to the last consumer's commit, with the real services' processes."""
