"""Each optional field of an event has a producer: purchases after which the services have filled all of them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from events.database.engine import Database
from events.messaging.contracts.registry import SCHEMAS
from events.messaging.contracts.shared import Contract
from events.messaging.outbox import OutboxEvent
from events.testing.waiting import wait_until
from marshmallow import Schema, fields
from sqlalchemy import select

from demo.scenarios.run import ScenarioRun
from demo.system import System
from tests.e2e.shopper import TEE, TIMEOUT_S, Shopper

SHOWN_ELSEWHERE = {  # (class, field) whose producers need what this system does not have
    ("OrderExpired", "promotions_consent"),  # CONSENT_PROMOTIONS; test_abandoned_carts.py
    ("ReviewOpened", "is_refunded"),  # an inventory that is held back; test_stock_doubts.py
}


def test_every_optional_field_of_an_event_has_a_producer(system: System, folder: Path) -> None:
    shopper = Shopper(system, "producers")
    session = shopper.buy(method="failing_refund", code=True, presentment_currency="jpy", presentment_amount="7332")
    shopper.page(session, "paid")
    system.stripe.refund(session["id"], amount=500)
    shopper.mail("staff_refund_failed")
    shopper.buy(method="voucher")
    shopper.mail("payment_instructions")
    twice = shopper.start_checkout({TEE: 2})
    system.stripe.expire(twice["session_id"])
    shopper.check("It expires", "expired", lambda: shopper.status(twice))
    for _ in range(2):
        system.stripe.pay(system.stripe.recover(twice["session_id"])["id"], "card", shopper.email)
        shopper.mail("order_confirmed")
        shopper.check("It is confirmed", True, lambda: "order_confirmed" in shopper.emails_about(twice))
    shopper.check("It is paid twice", "duplicate-payment", lambda: shopper.order_field(twice, "review_reason"))
    shopper.operate(twice, "review", decision="refund").raise_for_status()
    parcel: dict[str, Any] = {"carrier": "DHL", "tracking": "1", "tracking_url": "https://track.example/1"}
    parcel["lines"] = [{"sku": TEE, "quantity": 1}]
    shopper.check("It ships", 201, lambda: shopper.operate(twice, "shipments", **parcel).status_code)
    canceled = shopper.start_checkout({TEE: 2}, discount_code="WELCOME10")
    shopper.pay(canceled)
    assert shopper.operate(canceled, "cancel", refund=True).is_success
    shopper.check("The rest ships", 201, lambda: shopper.operate(twice, "shipments", all=True).status_code)
    kept = shopper.start_checkout({TEE: 1})
    shopper.pay(kept)
    system.stripe.open_dispute(kept["session_id"])
    shopper.check("It is disputed", "open", lambda: shopper.order_field(kept, "dispute_status"))
    assert shopper.operate(kept, "cancel", refund=False).is_success
    system.stripe.advance_dispute(kept["session_id"], "won")
    yen = shopper.start_checkout({TEE: 1})
    system.stripe.pay(yen["session_id"], "card", shopper.email, currency="jpy")
    shopper.check("It is in yen", "currency-mismatch", lambda: shopper.order_field(yen, "review_reason"))
    assert shopper.operate(yen, "review", decision="accept").is_success
    left = shopper.start_checkout({TEE: 1})
    system.post("checkout", f"/checkout/sessions/{left['checkout_id']}/cancel").raise_for_status()
    sold_again(shopper)
    disputed = shopper.buy()
    shopper.page(disputed, "paid")
    system.stripe.queue_refund_status("pending")
    pending = system.stripe.refund(disputed["id"], amount=500)
    system.stripe.open_dispute(disputed["id"])
    system.stripe.advance_refund(pending["id"], "failed", "charge_for_pending_refund_disputed")
    shopper.mail("staff_dispute_opened")
    decided = shopper.start_checkout({TEE: 1})
    shopper.pay(decided)
    assert shopper.operate(decided, "shipments", all=True).status_code == 201
    system.stripe.open_review(decided["session_id"])
    system.stripe.warn(decided["session_id"])
    shopper.check("It has two reviews", 2, lambda: len(shopper.order_field(decided, "reviews")))
    assert shopper.operate(decided, "review", decision="cancel").is_success
    wanted = {found for schema in SCHEMAS.values() for found in optional_fields(schema)} - SHOWN_ELSEWHERE
    with suppress(TimeoutError):
        wait_until(lambda: not (wanted - filled_fields(folder)), TIMEOUT_S, "all fields")
    missing = wanted - filled_fields(folder)
    assert missing == set()


def optional_fields(schema: Schema) -> Iterator[tuple[str, str]]:
    """Yield (class, field) of each optional field of a contract and of the contracts in it."""
    for name, field in schema.fields.items():
        if not field.required:
            yield declared_by(type(schema), name), name
        if nested := nested_schema(field):
            yield from optional_fields(nested)


def nested_schema(field: fields.Field[Any]) -> Schema | None:
    inner = field.inner if isinstance(field, fields.List) else field
    return inner.schema if isinstance(inner, fields.Nested) else None


def declared_by(schema: type, name: str) -> str:
    """Return the name of the class in which a field of a contract is declared."""
    bases = [each for each in schema.__mro__ if issubclass(each, Contract)]
    return [each.__name__ for each in bases if name in each._declared_fields][-1]


def filled_fields(folder: Path) -> set[tuple[str, str]]:
    """Return (class, field) of each field that a published order event has filled."""
    filled: set[tuple[str, str]] = set()
    for service in ("checkout", "orders", "inventory"):
        database = Database(f"sqlite:///{folder / service}.db")
        with database.read() as session:
            events = [row.event() for row in session.scalars(select(OutboxEvent))]
        database.dispose()
        for event in events:
            if (event.type, 1) in SCHEMAS:
                filled |= filled_fields_of(SCHEMAS[event.type, 1], event.data)
    return filled


def filled_fields_of(schema: Schema, data: Mapping[str, Any]) -> set[tuple[str, str]]:
    filled = {(declared_by(type(schema), name), name) for name, value in data.items() if value not in (None, [], False)}
    for name, value in data.items():
        if value and (nested := nested_schema(schema.fields[name])):
            for item in value if isinstance(value, list) else [value]:
                filled |= filled_fields_of(nested, item)
    return filled


def sold_again(shopper: Shopper) -> None:
    """Refund a piece with restock, sell it to another customer, and let the refund fail."""
    sku = "SKT-WRP-PLU-40"  # no other test uses it, because its stock stays empty
    full = shopper.stock(sku).on_hand
    first = shopper.start_checkout({sku: 1})
    shopper.pay(first)
    wait_until(lambda: shopper.stock(sku).on_hand == full - 1, TIMEOUT_S, "the sale")
    shopper.system.stripe.queue_refund_status("pending")
    assert shopper.operate(first, "refunds", all=True, restock=True).status_code == 201
    refund_id = shopper.order_field(first, "refunds")[0]["id"]
    wait_until(lambda: shopper.stock(sku).on_hand == full, TIMEOUT_S, "the return")
    other = ScenarioRun(shopper.system, "another customer")
    other.pay(other.start_checkout({sku: full}))
    wait_until(lambda: other.stock(sku).on_hand == 0, TIMEOUT_S, "the sale of all")
    shopper.system.stripe.advance_refund(refund_id, "failed")
    shopper.check("It is reviewed", "oversold", lambda: shopper.order_field(first, "review_reason"))
