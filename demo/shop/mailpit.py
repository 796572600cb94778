"""The e-mails that Mailpit caught, in the form of the demo's mailbox.

API: https://mailpit.axllent.org/docs/api-v1/
"""

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import httpx

from demo.shop.mailbox import Mail

PAGE_SIZE = 500  # e-mails; more than a demo sends


class Mailpit:
    """The e-mails at a Mailpit server, read from its API at each access."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    @property
    def messages(self) -> list[Mail]:
        """The caught e-mails, oldest first: the newest `PAGE_SIZE` if there are more."""
        answer = self._client.get("/api/v1/messages", params={"limit": PAGE_SIZE}).raise_for_status().json()
        return [self._mail(summary) for summary in reversed(answer["messages"])]

    def _mail(self, summary: dict[str, Any]) -> Mail:
        whole = self._client.get(f"/api/v1/message/{summary['ID']}").raise_for_status().json()
        created = summary.get("Created")
        return Mail(
            id=summary["ID"],
            to=tuple(person["Address"] for person in summary["To"]),
            sender=(summary["From"] or {}).get("Address", ""),
            subject=summary["Subject"],
            date=datetime.fromisoformat(created) if created else datetime.now(UTC),
            text=whole["Text"],
            html=whole["HTML"],
            message=EmailMessage(),
        )
