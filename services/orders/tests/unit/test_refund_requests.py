"""The errors of refund requests: each of them advises something that the next check accepts."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from orders.errors import InvalidRequestError
from orders.goods import Goods
from orders.models.orders import Order, OrderLine, OrderStatus
from orders.models.payments import Payment, PaymentStatus
from orders.refunds.requests import (
    RefundParams,
    _amount_of_lines,
    _checked_amount,
    _checked_lines,
    create_request,
)
from sqlalchemy.orm import Session

GOODS = Goods(bought={"TEE": 2}, shipped={}, refunded={}, refunded_before_shipment={}, refunded_unshipped={})
ONE_SHIPPED = Goods({"TEE": 2}, {"TEE": 1}, {}, {}, {})


def errors_of(check: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Return the errors by field that a check raises."""
    with pytest.raises(InvalidRequestError) as raised:
        check(*args)
    return raised.value.errors


def payment_of(payment_id: str = "pi_1", currency: str = "eur") -> Payment:
    return Payment(
        id=payment_id, status=PaymentStatus.SUCCEEDED, currency=currency, amount=3998, shipping_total=0, amount_tax=0
    )


def order_of(*payments: Payment) -> Order:
    """Return a paid order of two pieces. The first payment paid it."""
    order = Order(number="CL-1", status=OrderStatus.PAID, payment_intent=payments[0].id, session_id="cs_1")
    order.lines = [OrderLine(sku="TEE", quantity=2, amount_total=3998)]
    order.payments, order.disputes = list(payments), []
    return order


@pytest.mark.parametrize("currency", ["xxx", "zzz"])
def test_unsupported_currency_leaves_all_or_the_dashboard(currency: str) -> None:
    payment, lines = payment_of(currency=currency), [{"sku": "TEE", "quantity": 1}]
    by_amount = errors_of(_checked_amount, RefundParams(amount=100), payment)
    by_lines = errors_of(_amount_of_lines, order_of(payment), payment, GOODS, lines)
    [[amount_text], [lines_text]] = by_amount["amount"], by_lines["lines"]
    assert amount_text == (
        "The currency of this payment is not supported, so the amount cannot be checked."
        " Send all: true instead, or refund in Stripe's dashboard."
    )
    assert lines_text == (
        "The currency of this payment is not supported, so the amount of the lines is unknown."
        " Send all: true instead, or refund in Stripe's dashboard and record the lines with without_money: true."
    )


@pytest.mark.parametrize(("currency", "step"), [("kwd", 10), ("isk", 100)])
def test_amount_between_steps_names_the_step(currency: str, step: int) -> None:
    errors = errors_of(_checked_amount, RefundParams(amount=step + 1), payment_of(currency=currency))
    code = currency.upper()
    assert errors == {"amount": [f"Send a multiple of {step} minor units: Stripe accepts no other amount in {code}."]}
    assert _checked_amount(RefundParams(amount=step), payment_of(currency=currency)) == step


def test_duplicate_payment_is_refunded_without_restock() -> None:
    order = order_of(payment_of(), payment_of("pi_2"))
    params = RefundParams(all=True, restock=True, payment_id="pi_2")
    errors = errors_of(create_request, Session(), order, params, "key", "ana")
    assert errors == {"restock": ["The order's pieces belong to the payment pi_1. Leave restock out."]}


@pytest.mark.parametrize(
    ("params", "usable"),
    [
        ({"all": True}, "pi_1 or pi_2"),
        ({"lines": [{"sku": "TEE", "quantity": 1}]}, "pi_1"),
        ({"all": True, "restock": True}, "pi_1"),
    ],
)
def test_unknown_payment_names_those_that_fit(params: dict[str, Any], usable: str) -> None:
    order = order_of(payment_of(), payment_of("pi_2"))
    order.payments.append(Payment(id="pi_3", status=PaymentStatus.FAILED))
    errors = errors_of(create_request, Session(), order, RefundParams(payment_id="pi_3", **params), "key", "ana")
    assert errors == {"payment_id": [f"This order has no succeeded payment pi_3. Use {usable}."]}


@pytest.mark.parametrize(
    ("goods", "line", "text"),
    [
        (GOODS, {"quantity": 1, "unshipped": 2}, "Send 1: 2 unshipped and 0 shipped pieces can still be refunded."),
        (
            ONE_SHIPPED,
            {"quantity": 1, "unshipped": 2},
            "Send a number from 0 to 1: 1 unshipped and 1 shipped pieces can still be refunded.",
        ),
        (
            ONE_SHIPPED,
            {"quantity": 2, "unshipped": 0},
            "Send 1: 1 unshipped and 1 shipped pieces can still be refunded.",
        ),
    ],
)
def test_wrong_number_of_unshipped_pieces_names_the_range(goods: Goods, line: dict[str, Any], text: str) -> None:
    params = RefundParams(lines=[{"sku": "TEE", **line}])
    assert errors_of(_checked_lines, goods, params) == {"lines": {0: {"unshipped": [text]}}}


def test_refused_line_takes_no_pieces_from_the_next_one() -> None:
    params = RefundParams(lines=[{"sku": "TEE", "quantity": 3}, {"sku": "TEE", "quantity": 1}])
    errors = errors_of(_checked_lines, GOODS, params)
    assert errors == {"lines": {0: {"quantity": ["Only 2 of 2 can still be refunded."]}}}


def test_pieces_whose_share_is_nothing_are_recorded() -> None:
    payment, lines = payment_of(currency="jpy"), [{"sku": "TEE", "quantity": 1}]
    payment.amount = 1
    errors = errors_of(_amount_of_lines, order_of(payment), payment, GOODS, lines)
    assert errors == {
        "lines": ["The amount of these pieces is 0. To record them without money, send without_money: true."]
    }


def test_pieces_are_counted_over_several_lines() -> None:
    params = RefundParams(lines=[{"sku": "TEE", "quantity": 1}] * 2)
    assert Counter(line["unshipped"] for line in _checked_lines(ONE_SHIPPED, params)) == {0: 1, 1: 1}
