"""The statuses of Stripe's disputes that several services interpret."""

CLOSED_STATUSES = ("warning_closed", "prevented", "charge_refunded", "won", "lost")


def is_inquiry(status: str) -> bool:
    """Return True if the bank only asks about the payment: no money has moved, and it may become a dispute."""
    return status.startswith("warning_")


def is_closed(status: str) -> bool:
    """Return True if the dispute has ended. An unknown status counts as open, and an appeal opens a lost one again."""
    return status in CLOSED_STATUSES
