"""The orders service: one order per checkout, with its payments, refunds, disputes, reviews and shipments."""
