"""The mails that Mailpit caught, as the demo's own mailbox shows its: https://mailpit.axllent.org/docs/api-v1/"""

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import httpx

from demo.shop.mailbox import Mail

PAGE = 500  # mails; more than a demo sends


class Mailpit:
    """Read anew each time: another process sends."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    @property
    def messages(self) -> list[Mail]:
        """Oldest first."""
        listed = self._client.get("/api/v1/messages", params={"limit": PAGE}).raise_for_status().json()["messages"]
        return [self._mail(brief) for brief in reversed(listed)]

    def _mail(self, brief: dict[str, Any]) -> Mail:
        whole = self._client.get(f"/api/v1/message/{brief['ID']}").raise_for_status().json()
        created = brief.get("Created")
        return Mail(
            id=brief["ID"],
            to=tuple(person["Address"] for person in brief["To"]),
            sender=(brief["From"] or {}).get("Address", ""),
            subject=brief["Subject"],
            date=datetime.fromisoformat(created) if created else datetime.now(UTC),
            text=whole["Text"],
            html=whole["HTML"],
            message=EmailMessage(),
        )
