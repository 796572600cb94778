"""What runs around the services on one machine: launcher, fake Stripe, storefront."""
