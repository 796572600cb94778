"""Unclear requests of operators move nothing, and "all" is only what was asked for: money, goods and e-mails."""

from json import dumps
from typing import Any, NamedTuple

import httpx
import pytest
from events.testing import http
from events.testing.waiting import wait_until

from demo.scenarios.run import Checkout, new_key
from demo.system import System
from tests.e2e.shopper import SOCKS, TEE, TIMEOUT_S, Shopper

ONE_TEE = {"sku": TEE, "quantity": 1}


class Paid(NamedTuple):
    """A paid order that may ship, and the id of its confirmation."""

    shopper: Shopper
    checkout: Checkout
    order_id: str
    mail_id: str

    def post(self, action: str, body: bytes, **headers: str) -> httpx.Response:
        """Send an operator's act with exactly these bytes."""
        system = self.shopper.system
        service, path = {
            "movements": ("inventory", f"/stock/{TEE}/movements"),
            "resend": ("notifications", f"/notifications/{self.mail_id}/resend"),
        }.get(action, ("orders", f"/orders/{self.order_id}/{action}"))
        token = {"Authorization": f"Bearer {system.operator_token}", "Content-Type": "application/json"}
        return http.post(system.urls[service] + path, content=body, headers=token | headers, timeout=30)

    def seen(self) -> Any:
        """Return what people see: the order, the e-mails, the stock, and the refunds at Stripe."""
        system = self.shopper.system
        mails, refunds = [mail.id for mail in system.mailbox.messages], system.stripe.ledger["refunds"]
        return self.shopper.order(self.checkout), mails, self.shopper.stock(TEE), refunds


def buy(system: System, name: str) -> Paid:
    """Buy two T-shirts, and wait until nothing more happens by itself."""
    shopper = Shopper(system, name)
    checkout = shopper.start_checkout({TEE: 2})
    shopper.pay(checkout)
    shopper.mail("order_confirmed")
    path = f"/notifications?checkout_id={checkout['checkout_id']}"
    wait_until(lambda: shopper.emails_about(checkout) == ["order_confirmed"], TIMEOUT_S, "the confirmation")
    [mail] = system.get("notifications", path, operator=True).json()["items"]
    return Paid(shopper, checkout, shopper.order_field(checkout, "id"), mail["id"])


@pytest.fixture(scope="module")
def paid(system: System) -> Paid:
    """A paid order that stays as it is."""
    return buy(system, "strict")


EXTENTS: list[Any] = [
    {},
    None,
    [],
    "all",
    b"",
    b"{",
    b'{"all": NaN}',
    b'{"all": true, "all": false}',
    {"all": None},
    {"all": False},
    {"all": "true"},
    {"all": 1},
    {"lines": None},
    {"lines": []},
    {"lines": [{}]},
    {"lines": [{"sku": TEE}]},
    {"lines": [ONE_TEE | {"quantity": None}]},
    {"lines": [ONE_TEE | {"quantity": 0}]},
    {"lines": [ONE_TEE | {"quantity": "1"}]},
    {"lines": [ONE_TEE | {"quantity": 1.5}]},
    {"all": True, "lines": [ONE_TEE]},
    {"all": True, "everything": True},
]
AMOUNTS: list[Any] = [None, True, False, 0, -1, 10.5, "10", "10 €", "1.000,00", "1e1", "", [], {}, 10**9]
REQUESTS: dict[str, list[Any]] = {  # by the last part of the route
    "refunds": [
        *EXTENTS,
        {"all": True, "amount": 1000},
        {"lines": [ONE_TEE | {"quantity": 3}]},
        {"lines": [{"sku": SOCKS, "quantity": 1}]},
    ],
    "refunds of amounts": [
        *({"amount": amount} for amount in AMOUNTS),
        *(b'{"amount": %s}' % amount for amount in (b"NaN", b"1e1", b"10.0", b"1_000")),
    ],
    "shipments": EXTENTS,
    "cancel": [{}, None, [], {"refund": None}, {"refund": "true"}, {"refund": 1}, {"refund": True, "amount": 5}],
    "review": [{}, None, {"decision": None}, {"decision": ""}, {"decision": "ship"}, {"decision": ["accept"]}],
    "movements": [
        {"reason": "counted", **change}
        for change in ({}, {"adjust": None}, {"adjust": "1"}, {"adjust": 1.5}, {"adjust": True}, {"on_hand": None})
    ]
    + [{"reason": "counted", "on_hand": 5}, {"reason": "counted", "on_hand": -1, "expected": 5}, {"adjust": 1}],
    "resend": [{"recipient": None}, {"recipient": ""}, {"recipient": "nobody"}, {"to": "a@example.com"}, []],
}


@pytest.mark.parametrize("act", REQUESTS)
def test_unclear_request_is_refused_and_moves_nothing(paid: Paid, act: str) -> None:
    before, wrong, action = paid.seen(), [], act.split()[0]
    for body in REQUESTS[act]:
        answer = paid.post(action, body if isinstance(body, bytes) else dumps(body).encode(), **new_key())
        if answer.status_code not in (400, 422):
            wrong.append((body, answer.status_code))
    assert wrong == []
    assert paid.seen() == before
