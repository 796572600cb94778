"""Errors of operators' requests, raised by the domain modules. problems.py maps each of them to a problem."""


class NotificationNotFoundError(Exception):
    """No e-mail has this id."""

    def __init__(self, email_id: str) -> None:
        self.email_id = email_id
        super().__init__(email_id)


class NotificationUnsentError(Exception):
    """The e-mail or a resend of it is still pending or being sent. `email_id` is the id of that unsent e-mail."""

    def __init__(self, email_id: str) -> None:
        self.email_id = email_id
        super().__init__(email_id)


class CustomerErasedError(Exception):
    """The customer's address is erased, so an e-mail to them cannot be sent again."""


class StaffRecipientError(Exception):
    """E-mails to staff always go to STAFF_EMAIL, so a resend cannot name another recipient."""


class KeyReusedError(Exception):
    """The idempotency key belongs to another request."""
