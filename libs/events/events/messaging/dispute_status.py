"""The statuses of Stripe's disputes that several services interpret."""


def is_inquiry(status: str) -> bool:
    """Return True if the bank only asks about the payment: no money has moved, and it may become a dispute."""
    return status.startswith("warning_")
