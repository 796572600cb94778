"""Builders of Stripe's objects, with every field that API version 2026-10-28.endive shows."""
