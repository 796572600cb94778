"""The checkouts of a load, started in bulk as checkout would: its row and outbox, the reservation at inventory.

Through the services' own functions and their databases, since a load of ten thousands would else test the speed of
the fake Stripe's API and little more.
"""

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from checkout import models as checkouts
from checkout.models import Checkout
from checkout.publishing import attach_session_and_publish
from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import lock_rows
from inventory import ledger as stock
from inventory import reservations

from tests.e2e.processes import CATALOGUE
from tests.faults.ledger import EXPIRED, PAID, Purchase

CURRENCY = "eur"
SHIPPING = 490  # minor units
SHELF = 10_000_000  # pieces: no load sells out, so that every difference is a fault
SKUS = 8  # few enough that purchases meet on the same rows
ENDINGS = {"card": 0.85, "delayed": 0.1, "expired": 0.05}  # how purchases end, and what share of them


class Shop:
    def __init__(self, databases: Mapping[str, Database], seed: int) -> None:
        self._databases = databases
        self._chance = random.Random(seed)
        products = json.loads(CATALOGUE.read_text())["products"]
        self._prices = {product["sku"]: product["prices"][CURRENCY] for product in products[:SKUS]}
        self._names = {product["sku"]: product["name"] for product in products}

    def fill_shelf(self) -> None:
        with self._databases["inventory"].begin() as session:
            for sku in self._prices:
                reason = {"reason": "stock for a load", "actor": "faults", "occurred_at": utcnow()}
                stock.set_on_hand(session, sku, SHELF, **reason)

    def choose(self) -> tuple[Purchase, str]:
        """A purchase yet to be started, and how it will end."""
        [ending] = self._chance.choices(list(ENDINGS), list(ENDINGS.values()))
        chosen = self._chance.sample(sorted(self._prices), self._chance.choice((1, 1, 2)))
        lines = {sku: self._chance.choice((1, 1, 1, 2)) for sku in chosen}
        name = uuid.UUID(int=self._chance.getrandbits(128)).hex
        return Purchase(
            checkout_id=f"chk_{name}",
            session_id=f"cs_{name}",
            payment_intent=f"pi_{name}",
            currency=CURRENCY,
            amount=self._subtotal(lines) + SHIPPING,
            lines=lines,
            recipient=f"{name}@example.com",
            outcome=EXPIRED if ending == "expired" else PAID,
            mails=frozenset({"abandoned_cart" if ending == "expired" else "order_confirmed"}),
            may_get=frozenset({"payment_pending"} if ending == "delayed" else ()),
        ), ending

    def reserve(self, purchases: Sequence[Purchase]) -> None:
        """What is there before Stripe knows of them: the checkouts and their stock. May be repeated, as `announce` may;
        both raise what the driver raises while a database is away.
        """
        ends = utcnow() + timedelta(days=1)
        for purchase in purchases:
            with self._databases["inventory"].begin() as session:
                reservations.reserve(session, purchase.checkout_id, ends, purchase.lines.items(), utcnow())
        with self._databases["checkout"].begin() as session:
            for purchase in purchases:
                if session.get(Checkout, purchase.checkout_id) is None:
                    session.add(self._checkout(purchase, ends))

    def announce(self, purchases: Sequence[Purchase]) -> None:
        """Take in their Stripe sessions and tell the other services, where no event of Stripe has done so before."""
        with self._databases["checkout"].begin() as session:
            found = lock_rows(session, Checkout, [purchase.checkout_id for purchase in purchases])
            for purchase in purchases:
                checkout = found[purchase.checkout_id]
                checkout.open(checkout.expires_at)
                stripe_session = {"id": purchase.session_id, "url": None, "livemode": False}
                attach_session_and_publish(session, checkout, stripe_session)

    def _checkout(self, purchase: Purchase, ends: datetime) -> Checkout:
        return Checkout(
            id=purchase.checkout_id,
            status=checkouts.NEW,
            fingerprint=purchase.checkout_id,
            created_at=utcnow(),
            expires_at=ends,
            reserved_at=utcnow(),
            currency=purchase.currency,
            amount_subtotal=self._subtotal(purchase.lines),
            amount_discount=0,
            amount_shipping=SHIPPING,
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


def events_of(purchase: Purchase, ending: str) -> Iterable[tuple[str, dict[str, Any]]]:
    """(Stripe's type, object) for everything that Stripe makes of this purchase, in the order of its making."""
    from events.testing.stripe import charge, checkout_session, payment_intent

    money = {"amount": purchase.amount, "currency": purchase.currency, "payment_intent": purchase.payment_intent}
    session = {
        "id": purchase.session_id,
        "amount_total": purchase.amount,
        "amount_subtotal": purchase.amount - SHIPPING,
        "payment_intent": purchase.payment_intent,
        "customer_details": {"email": purchase.recipient, "name": "Zoë Müller", "address": None, "phone": None},
    }
    if ending == "expired":
        over = {**session, "payment_intent": None, "payment_status": "unpaid", "status": "expired"}
        yield "checkout.session.expired", checkout_session(purchase.checkout_id, **over)
        return
    intent = {"id": purchase.payment_intent, "amount": purchase.amount, "currency": purchase.currency}
    yield "payment_intent.created", payment_intent(purchase.checkout_id, **intent, amount_received=0)
    charged = charge(purchase.checkout_id, **money, amount_captured=purchase.amount)
    if ending == "delayed":
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
