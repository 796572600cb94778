"""What Stripe knows: the events that it made, every answer that it got for them, and what each customer paid."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PAID, EXPIRED = "paid", "expired"


@dataclass(frozen=True)
class Answer:
    """An attempt's HTTP status; None where no answer came. `at` in seconds since the epoch."""

    status: int | None
    at: float = field(default_factory=time.time)

    @property
    def is_2xx(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(eq=False)
class Sent:
    """One event and what the ingest answered, attempt by attempt."""

    id: str
    type: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        return any(answer.is_2xx for answer in self.answers)


@dataclass(frozen=True)
class Purchase:
    """How one checkout ended at Stripe. `amount` in minor units; `lines` maps a sku to its pieces.

    `mails` are the kinds that the customer must get once, `may_get` those that a later fact may overtake.
    """

    checkout_id: str
    session_id: str
    payment_intent: str
    currency: str
    amount: int
    lines: Mapping[str, int]
    recipient: str
    outcome: str = PAID
    mails: frozenset[str] = frozenset({"order_confirmed"})
    may_get: frozenset[str] = frozenset()


@dataclass
class Ledger:
    """Grows while a load runs; read once it has ended."""

    events: dict[str, Sent] = field(default_factory=dict)
    purchases: list[Purchase] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Sent]:
        return [sent for sent in self.events.values() if sent.acknowledged]

    @property
    def refused(self) -> int:
        """Attempts that were answered other than 2xx, or not at all."""
        return sum(not answer.is_2xx for sent in self.events.values() for answer in sent.answers)

    def add(self, other: "Ledger") -> None:
        self.events.update(other.events)
        self.purchases += other.purchases


def of_fake_stripe(document: Mapping[str, Any], purchases: Iterable[Purchase], known: Iterable[str] = ()) -> Ledger:
    """The fake Stripe's own ledger, in this form, without the events that are `known` already."""
    told = set(known)
    events = {
        event["id"]: Sent(
            event["id"],
            event["type"],
            [
                Answer(attempt.get("status"))
                for delivery in event["deliveries"]
                for attempt in list(delivery["attempts"])
            ],
        )
        for event in document["events"]
        if event["id"] not in told
    }
    return Ledger(events, list(purchases))
