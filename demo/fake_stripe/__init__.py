"""A local Stripe: the official SDK talks to it unchanged through its base address."""

from .account import Config
from .server import FakeStripe

__all__ = ["Config", "FakeStripe"]
