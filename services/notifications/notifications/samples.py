"""Made-up events, one for each kind of mail: for looking at the mails, and for their tests."""

from collections.abc import Mapping
from typing import Any

from notifications.models import ABANDONED_CART, KINDS, STAFF_REVIEW
from notifications.rendering import Shop

SHOP = Shop("Clozit", "https://shop.example")

ORDER: Mapping[str, Any] = {
    "order_id": "ord_0199f3a2c4d57e8a9b0c1d2e3f405162",
    "number": "CLZ-10482",
    "checkout_id": "chk_0199f3a2c4d57e8a9b0c1d2e3f405161",
    "session_id": "cs_test_a1B2c3D4e5F6g7H8i9J0",
    "payment_intent": "pi_3QxYzA2eZvKYlo2C1a2b3c4d",
    "currency": "eur",
    "amount_subtotal": 12847,
    "amount_discount": 1285,
    "amount_shipping": 490,
    "amount_total": 12052,
    "customer_email": "ada@example.org",
    "customer_name": "Ada Lovelace",
    "locale": "en",
    "lines": [
        {"sku": "TEE-M", "name": "Organic T-shirt, white, M", "quantity": 2, "unit_amount": 2499, "amount_total": 4998},
        {"sku": "KNIT-L", "name": "Merino jumper, navy, L", "quantity": 1, "unit_amount": 7849, "amount_total": 7849},
    ],
    "occurred_at": "2026-05-04T10:12:00+00:00",
}

EXTRAS: Mapping[str, Mapping[str, Any]] = {
    ABANDONED_CART: {"recovery_url": "https://buy.stripe.com/r/live_YWNjdF8xUXhZekEyZVp2S1lsbzJD"},
    STAFF_REVIEW: {"reason": "amount-mismatch", "detail": "Paid 100.52 eur; the checkout says 120.52 eur."},
}


def sample(kind: str, **changes: Any) -> dict[str, Any]:
    """The context of a mail of this kind."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
    return {**ORDER, **EXTRAS.get(kind, {}), **changes}
