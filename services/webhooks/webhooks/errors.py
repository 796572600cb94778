"""Errors of the ingest. problems.py maps them to problems."""


class RejectedEventError(Exception):
    """A request without a valid event for this installation: `reason` is a code, `detail` says what to correct."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail
