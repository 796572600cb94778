"""What Stripe knows of our sessions and payments; objects as plain JSON values."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

PAGE = 100  # the most that Stripe puts on one
MISSING = "resource_missing"

Object = dict[str, Any]


@dataclass(frozen=True)
class Intent:
    """A payment intent. `tried_at`: when the customer last tried to pay with it, in Unix seconds."""

    id: str
    checkout_id: str | None
    status: str
    amount_received: int
    currency: str
    tried_at: int


class StripeRecords:
    """Raises `stripe.StripeError` when Stripe cannot be asked."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._sessions = client.v1.checkout.sessions
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    def sessions(self, since: datetime) -> Iterator[Object]:
        """Those created since then, newest first."""
        page = self._sessions.list({"created": {"gte": int(since.timestamp())}, "limit": PAGE})
        for session in page.auto_paging_iter():
            yield session.to_dict(for_json=True)

    def session(self, session_id: str) -> Object | None:
        try:
            return self._sessions.retrieve(session_id).to_dict(for_json=True)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None

    def session_of(self, intent_id: str) -> Object | None:
        found = self._sessions.list({"payment_intent": intent_id}).data
        return found[0].to_dict(for_json=True) if found else None

    def intents(self, since: datetime) -> Iterator[Intent]:
        """Those created since then, newest first."""
        expanded = ["data.latest_charge"]
        page = self._intents.list({"created": {"gte": int(since.timestamp())}, "limit": PAGE, "expand": expanded})
        for intent in page.auto_paging_iter():
            yield _intent(intent.to_dict(for_json=True))

    def refunds(self, since: datetime) -> Iterator[Object]:
        """Those created since then, newest first."""
        page = self._refunds.list({"created": {"gte": int(since.timestamp())}, "limit": PAGE})
        for refund in page.auto_paging_iter():
            yield refund.to_dict(for_json=True)

    def refund(self, refund_id: str) -> Object | None:
        try:
            return self._refunds.retrieve(refund_id).to_dict(for_json=True)
        except stripe.InvalidRequestError as error:
            if error.code != MISSING:
                raise
            return None

    def intent(self, intent_id: str) -> Intent:
        found = self._intents.retrieve(intent_id, {"expand": ["latest_charge"]})
        return _intent(found.to_dict(for_json=True))


def checkout_id_of(obj: Object) -> str | None:
    """The checkout that made an object; None for what is not ours."""
    found = (obj.get("metadata") or {}).get("checkout_id")
    return str(found) if found else None


def moment(seconds: int) -> datetime:
    """Unix seconds, as Stripe tells its times."""
    return datetime.fromtimestamp(seconds, UTC)


def _intent(obj: Object) -> Intent:
    charge = obj["latest_charge"] or {}
    return Intent(
        id=obj["id"],
        checkout_id=checkout_id_of(obj),
        status=obj["status"],
        amount_received=obj["amount_received"],
        currency=obj["currency"],
        tried_at=max(obj["created"], charge.get("created", 0)),
    )
