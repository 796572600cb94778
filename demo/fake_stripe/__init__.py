"""A local Stripe. The official SDK uses it unchanged, through its base address."""
