"""Errors of operators' requests, raised by the domain modules. problems.py maps each of them to a problem."""


class NotificationNotFoundError(Exception):
    """No e-mail has this id."""

    def __init__(self, email_id: str) -> None:
        self.email_id = email_id
        super().__init__(email_id)


class NotificationUnsentError(Exception):
    """The e-mail, or a resend of it, is not sent yet: `email_id`."""

    def __init__(self, email_id: str) -> None:
        self.email_id = email_id
        super().__init__(email_id)


class CustomerErasedError(Exception):
    """The customer's address is erased, so an e-mail to them cannot be sent again."""


class StaffRecipientError(Exception):
    """Mails to staff have the configured recipient, and no other one can be given."""


class KeyReusedError(Exception):
    """The idempotency key belongs to another request."""
