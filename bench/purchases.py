"""Purchases in any number. The fake Stripe's events of one purchase are the template; each copy has its own ids."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import stripe
from events.testing.stripe import to_bytes

from bench.posts import DIGITS, PLACEHOLDER
from demo.fake_stripe.server import FakeStripe
from demo.fake_stripe.webhooks import sort_keys

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

COMPLETED, INTENT, CHARGE = "checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"
POSTED = (CHARGE, INTENT, COMPLETED)  # what Stripe posts for a card payment, of the types that the services use
SKU, QUANTITY, UNIT_AMOUNT, CURRENCY = "TEE-ORG-WHT-M", 2, 1999, "eur"
AMOUNT = QUANTITY * UNIT_AMOUNT

_IDS = re.compile(rb'"((?:evt|chk|cs_test|pi|ch|pm|txn)_\w*)\w{9}"')


def checkout_id(number: int) -> str:
    """Return the checkout id of a numbered purchase."""
    return f"chk_bench{number:0{DIGITS}d}"


def session_id(number: int) -> str:
    """Return the session id of a numbered purchase."""
    return f"cs_test_bench{number:0{DIGITS}d}"


def templates() -> Mapping[str, bytes]:
    """Return the bodies that Stripe posts for one card payment, by type, with placeholders for `numbered`."""
    with FakeStripe() as fake:
        client = stripe.StripeClient("sk_test_bench", base_addresses={"api": fake.url})
        metadata = {"checkout_id": checkout_id(0)}
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": checkout_id(0),
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
            "line_items": [
                {
                    "quantity": QUANTITY,
                    "price_data": {
                        "currency": CURRENCY,
                        "unit_amount": UNIT_AMOUNT,
                        "product_data": {"name": "Tee", "metadata": {"sku": SKU}},
                    },
                }
            ],
            "success_url": "https://shop.example/success",
            "cancel_url": "https://shop.example/cancel",
        }
        session = client.v1.checkout.sessions.create(params)
        fake.pay(session.id)
        documents = {kind: fake.events(kind)[0] for kind in POSTED}
    bodies = {
        kind: to_bytes(sort_keys(one)).replace(session.id.encode(), session_id(0).encode())
        for kind, one in documents.items()
    }
    return {kind: _IDS.sub(rb'"\1' + PLACEHOLDER + b'"', body) for kind, body in bodies.items()}
