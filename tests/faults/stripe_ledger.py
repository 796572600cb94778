"""Stripe's side of a run: the events that it made, each answer of the ingest, and how each purchase ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The end of a checkout at Stripe, named like the order's status."""

    PAID = "paid"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Answer:
    """The ingest's answer to one attempt to post an event: an HTTP status, or None without an answer."""

    status: int | None

    @property
    def is_2xx(self) -> bool:
        """True if the ingest took the event."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(eq=False)
class SentEvent:
    """One event of Stripe's, with the ingest's answer to each attempt."""

    id: str
    type: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        """True if at least one attempt was answered 2xx."""
        return any(answer.is_2xx for answer in self.answers)


@dataclass(frozen=True)
class Purchase:
    """One checkout as Stripe knows it. `amount` is in minor units; `lines` maps each sku to a number of pieces.

    The customer gets each kind in `required_emails` once. A later fact can suppress those in `optional_emails`.
    """

    checkout_id: str
    session_id: str
    payment_intent: str
    currency: str
    amount: int
    lines: Mapping[str, int]
    recipient: str
    outcome: Outcome = Outcome.PAID
    required_emails: frozenset[str] = frozenset({"order_confirmed"})
    optional_emails: frozenset[str] = frozenset()


@dataclass
class StripeLedger:
    """The events and purchases of one run or of several. It grows while a load runs; read it afterwards."""

    events: dict[str, SentEvent] = field(default_factory=dict)
    purchases: list[Purchase] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[SentEvent]:
        """The events that the ingest took."""
        return [sent for sent in self.events.values() if sent.is_acknowledged]

    @property
    def refused_attempts(self) -> int:
        """The number of attempts with another answer than 2xx, or without an answer."""
        return sum(not answer.is_2xx for sent in self.events.values() for answer in sent.answers)

    def add(self, other: "StripeLedger") -> None:
        """Add the events and purchases of another ledger."""
        self.events.update(other.events)
        self.purchases += other.purchases


def from_fake_stripe(
    document: Mapping[str, Any], purchases: Iterable[Purchase], known_event_ids: Iterable[str] = ()
) -> StripeLedger:
    """Return the fake Stripe's own ledger in this form, without the events that are known already."""
    known = set(known_event_ids)
    events = {
        event["id"]: SentEvent(
            event["id"],
            event["type"],
            [
                Answer(attempt.get("status"))
                for delivery in event["deliveries"]
                for attempt in list(delivery["attempts"])
            ],
        )
        for event in document["events"]
        if event["id"] not in known
    }
    return StripeLedger(events, list(purchases))
