"""The orders service: one order per checkout, its payments as facts, the operators' API."""
