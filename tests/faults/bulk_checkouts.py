"""Checkouts for a load, started in bulk.

The services' own functions write the same rows as a real start: checkout, outbox and reservation. With real starts, a
load of tens of thousands would mostly measure the fake Stripe's API.
"""

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from checkout import models as checkouts
from checkout.models import Checkout
from checkout.publishing import attach_session_and_publish
from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import lock_rows
from events.testing.stripe import charge, checkout_session, payment_intent
from inventory import reservations, stock_changes

from tests.e2e.processes import CATALOG
from tests.faults.stripe_ledger import Outcome, Purchase

CURRENCY = "eur"
SHIPPING_AMOUNT = 490  # minor units
STOCK_PIECES = 10_000_000  # no load sells out, so every difference is a fault
SKU_COUNT = 8  # few enough for purchases to compete for the same rows
LIFETIME = timedelta(days=1)  # longer than any load


class Ending(StrEnum):
    """The ways in which purchases end."""

    CARD = "card"
    DELAYED = "delayed"  # a payment method that is confirmed later
    EXPIRED = "expired"


SHARES = {Ending.CARD: 0.85, Ending.DELAYED: 0.1, Ending.EXPIRED: 0.05}  # of all purchases


class BulkCheckouts:
    """Chooses purchases at random and writes their checkouts to the services' databases."""

    def __init__(self, databases: Mapping[str, Database], seed: int) -> None:
        self._databases = databases
        self._random = random.Random(seed)
        products = json.loads(CATALOG.read_text())["products"]
        self._prices = {product["sku"]: product["prices"][CURRENCY] for product in products[:SKU_COUNT]}
        self._names = {product["sku"]: product["name"] for product in products}

    def fill_stock(self) -> None:
        """Set the stock of every product that purchases choose from."""
        with self._databases["inventory"].begin() as session:
            for sku in self._prices:
                request = stock_changes.StockRequest(sku=sku, on_hand=STOCK_PIECES, reason="stock for a load")
                stock_changes.change_stock(session, request, None, actor="faults", now=utcnow())

    def choose(self) -> tuple[Purchase, Ending]:
        """Return a random purchase, which is not started yet, and how it will end."""
        [ending] = self._random.choices(list(SHARES), list(SHARES.values()))
        chosen = self._random.sample(sorted(self._prices), self._random.choice((1, 1, 2)))
        lines = {sku: self._random.choice((1, 1, 1, 2)) for sku in chosen}
        name = uuid.UUID(int=self._random.getrandbits(128)).hex
        is_expired = ending == Ending.EXPIRED
        return Purchase(
            checkout_id=f"chk_{name}",
            session_id=f"cs_{name}",
            payment_intent=f"pi_{name}",
            currency=CURRENCY,
            amount=self._subtotal(lines) + SHIPPING_AMOUNT,
            lines=lines,
            recipient=f"{name}@example.com",
            outcome=Outcome.EXPIRED if is_expired else Outcome.PAID,
            required_emails=frozenset({"abandoned_cart" if is_expired else "order_confirmed"}),
            optional_emails=frozenset({"payment_pending"} if ending == Ending.DELAYED else ()),
        ), ending

    def reserve(self, purchases: Sequence[Purchase]) -> None:
        """Write what exists before Stripe's session: the checkouts and their reservations. It can be repeated.

        Raises the driver's error while a database is away.
        """
        expires_at = utcnow() + LIFETIME
        for purchase in purchases:
            with self._databases["inventory"].begin() as session:
                reservations.reserve(session, purchase.checkout_id, expires_at, purchase.lines.items(), utcnow())
        with self._databases["checkout"].begin() as session:
            for purchase in purchases:
                if session.get(Checkout, purchase.checkout_id) is None:
                    session.add(self._checkout(purchase, expires_at))

    def publish_started(self, purchases: Sequence[Purchase]) -> None:
        """Attach the Stripe sessions, which publishes `checkout.checkout.started`. It can be repeated.

        A checkout that an early Stripe event has already opened stays as it is. Raises the driver's error while the
        database is away.
        """
        with self._databases["checkout"].begin() as session:
            found = lock_rows(session, Checkout, [purchase.checkout_id for purchase in purchases])
            for purchase in purchases:
                checkout = found[purchase.checkout_id]
                checkout.open(checkout.expires_at)
                stripe_session = {"id": purchase.session_id, "url": None, "livemode": False}
                attach_session_and_publish(session, checkout, stripe_session)

    def _checkout(self, purchase: Purchase, expires_at: datetime) -> Checkout:
        return Checkout(
            id=purchase.checkout_id,
            status=checkouts.NEW,
            fingerprint=purchase.checkout_id,
            created_at=utcnow(),
            expires_at=expires_at,
            reserved_at=utcnow(),
            currency=purchase.currency,
            amount_subtotal=self._subtotal(purchase.lines),
            amount_discount=0,
            amount_shipping=SHIPPING_AMOUNT,
            amount_total=purchase.amount,
            lines=[self._line(sku, quantity) for sku, quantity in purchase.lines.items()],
            customer_email=purchase.recipient,
            locale="en",
            success_url="https://shop.example/success",
            cancel_url="https://shop.example/cart",
            automatic_tax=False,
            session_options={},
        )

    def _line(self, sku: str, quantity: int) -> dict[str, Any]:
        price = self._prices[sku]
        return {
            "sku": sku,
            "name": self._names[sku],
            "quantity": quantity,
            "unit_amount": price,
            "amount_total": price * quantity,
        }

    def _subtotal(self, lines: Mapping[str, int]) -> int:
        return sum(self._prices[sku] * quantity for sku, quantity in lines.items())


def stripe_events_for(purchase: Purchase, ending: Ending) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield (Stripe's type, object) for every event that Stripe makes of this purchase, in Stripe's order."""
    money = {"amount": purchase.amount, "currency": purchase.currency, "payment_intent": purchase.payment_intent}
    session = {
        "id": purchase.session_id,
        "amount_total": purchase.amount,
        "amount_subtotal": purchase.amount - SHIPPING_AMOUNT,
        "payment_intent": purchase.payment_intent,
        "customer_details": {"email": purchase.recipient, "name": "Zoë Müller", "address": None, "phone": None},
    }
    if ending == Ending.EXPIRED:
        expired = {**session, "payment_intent": None, "payment_status": "unpaid", "status": "expired"}
        yield "checkout.session.expired", checkout_session(purchase.checkout_id, **expired)
        return
    intent = {"id": purchase.payment_intent, "amount": purchase.amount, "currency": purchase.currency}
    yield "payment_intent.created", payment_intent(purchase.checkout_id, **intent, amount_received=0)
    charged = charge(purchase.checkout_id, **money, amount_captured=purchase.amount)
    if ending == Ending.DELAYED:
        unpaid = {**session, "payment_status": "unpaid"}
        yield "checkout.session.completed", checkout_session(purchase.checkout_id, **unpaid)
        yield "checkout.session.async_payment_succeeded", checkout_session(purchase.checkout_id, **session)
    else:
        yield "checkout.session.completed", checkout_session(purchase.checkout_id, **session)
    yield (
        "payment_intent.succeeded",
        payment_intent(purchase.checkout_id, **intent, amount_received=purchase.amount, latest_charge=charged["id"]),
    )
    yield "charge.succeeded", charged
    yield "charge.updated", charged
