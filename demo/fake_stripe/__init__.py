"""A fake of Stripe that runs locally. The official SDK uses it when its base address is the fake's URL."""
