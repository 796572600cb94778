"""Stripe's sessions, payment intents, refunds and disputes, as reconciliation reads them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe
from events.stripe_api import RESOURCE_MISSING

from orders.stripe_objects import PAGE_SIZE, StripeObject, checkout_id_of, currency_of, read_answer


@dataclass(frozen=True)
class Intent:
    """A payment intent. `amount_received` is in minor units.

    `tried_at` is when the customer last tried to pay, or when the intent was created, in Unix seconds.
    """

    id: str
    checkout_id: str | None
    status: str
    amount_received: int
    currency: str
    tried_at: int


class StripeRecords:
    """A reader of objects at Stripe. Each method raises `stripe.StripeError` if a call to Stripe fails."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._sessions = client.v1.checkout.sessions
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds
        self._disputes = client.v1.disputes

    def sessions(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        """Yield the sessions created since an instant, and before another one if it is given, newest first."""
        page = self._sessions.list({"created": _created(since, until), "limit": PAGE_SIZE})
        for session in page.auto_paging_iter():
            yield read_answer(session)

    def session(self, session_id: str) -> StripeObject | None:
        """Return a session, or None if Stripe does not know it."""
        return _retrieve(self._sessions, session_id)

    def session_of(self, intent_id: str) -> StripeObject | None:
        """Return the session of a payment intent, or None."""
        found = self._sessions.list({"payment_intent": intent_id}).data
        return read_answer(found[0]) if found else None

    def intents(self, since: datetime, until: datetime | None = None) -> Iterator[Intent]:
        """Yield the payment intents created in a window, as `sessions` does."""
        expanded = ["data.latest_charge"]
        page = self._intents.list({"created": _created(since, until), "limit": PAGE_SIZE, "expand": expanded})
        for intent in page.auto_paging_iter():
            yield _intent(read_answer(intent))

    def intent(self, intent_id: str) -> Intent:
        """Return a payment intent."""
        found = self._intents.retrieve(intent_id, {"expand": ["latest_charge"]})
        return _intent(read_answer(found))

    def refunds(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        """Yield the refunds created in a window, as `sessions` does."""
        page = self._refunds.list({"created": _created(since, until), "limit": PAGE_SIZE})
        for refund in page.auto_paging_iter():
            yield read_answer(refund)

    def refund(self, refund_id: str) -> StripeObject | None:
        """Return a refund, or None if Stripe does not know it."""
        return _retrieve(self._refunds, refund_id)

    def disputes(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        """Yield the disputes opened in a window, as `sessions` does."""
        page = self._disputes.list({"created": _created(since, until), "limit": PAGE_SIZE})
        for dispute in page.auto_paging_iter():
            yield read_answer(dispute)

    def dispute(self, dispute_id: str) -> StripeObject | None:
        """Return a dispute, or None if Stripe does not know it."""
        return _retrieve(self._disputes, dispute_id)


def _created(since: datetime, until: datetime | None) -> Any:
    """Return the filter for objects created in a window."""
    return {"gte": int(since.timestamp())} | ({"lt": int(until.timestamp())} if until else {})


def _retrieve(service: Any, object_id: str) -> StripeObject | None:
    """Return an object of one of the SDK's services, or None if Stripe does not know its id."""
    try:
        found = read_answer(service.retrieve(object_id))
    except stripe.InvalidRequestError as error:
        if error.code != RESOURCE_MISSING:
            raise
        return None
    return found


def _intent(intent: StripeObject) -> Intent:
    charge = intent["latest_charge"] or {}
    return Intent(
        id=intent["id"],
        checkout_id=checkout_id_of(intent),
        status=intent["status"],
        amount_received=intent["amount_received"],
        currency=currency_of(intent),
        tried_at=max(intent["created"], charge.get("created", 0)),
    )
