"""Redaction: a redacted event still books the money and names no customer."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from events.messaging import redaction
from events.messaging.contracts import registry
from events.messaging.redaction import redacted
from events.testing.stripe import charge, checkout_session, dispute, payment_intent, refund, stripe_event, to_bytes

CONTRACTS = Path(__file__).parents[1] / "contracts"
ADDRESS = {"line1": "Lindenweg 7", "line2": None, "city": "Bonn", "postal_code": "53111", "country": "DE"}
BILLING = {"email": "zoe@example.com", "name": "Zoë Müller", "phone": "+49 176 5550", "address": ADDRESS}
CARD = {"card": {"last4": "4242", "fingerprint": "Xt5EWLLDS7FJjR1c"}, "type": "card"}
PERSONAL = re.compile("zoe@|zoë|lindenweg|bonn|53111|5550|4242|xt5ew|10.0.0.7|buy.stripe|for a sister", re.IGNORECASE)

OBJECTS: dict[str, dict[str, Any]] = {
    "checkout.session.completed": checkout_session(
        "chk_1",
        customer_details=BILLING,
        customer_email="zoe@example.com",
        collected_information={"shipping_details": {"name": "Zoë", "address": ADDRESS}},
        shipping_details={"name": "Zoë", "address": ADDRESS},
        custom_fields=[{"key": "engraving", "text": {"value": "Zoë"}}],
        after_expiration={"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/1"}},
        customer={"id": "cus_1", "object": "customer", **BILLING},
        success_url="https://shop.test/?for=zoe@example.com",
        metadata={"checkout_id": "chk_1", "traceparent": "00-1", "gift_for": "for a sister"},
    ),
    "payment_intent.payment_failed": payment_intent(
        "chk_1",
        receipt_email="zoe@example.com",
        shipping={"name": "Zoë", "address": ADDRESS},
        last_payment_error={"code": "card_declined", "charge": "ch_1", "payment_method": {"billing_details": BILLING}},
    ),
    "charge.refunded": charge("chk_1", billing_details=BILLING, payment_method_details=CARD, description="for Zoë"),
    "refund.updated": refund(instructions_email="zoe@example.com", destination_details={"card": {"reference": "5550"}}),
    "charge.dispute.created": dispute(
        evidence={"customer_name": "Zoë Müller", "customer_purchase_ip": "10.0.0.7", "shipping_address": "Lindenweg 7"},
        payment_method_details=CARD,
    ),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_redacted_stripe_event_keeps_only_the_money(kind: str) -> None:
    body = to_bytes(stripe_event(kind, OBJECTS[kind], data={"object": OBJECTS[kind], "previous_attributes": BILLING}))
    assert PERSONAL.search(body.decode())
    without = orjson.loads(redacted(f"stripe.{kind}", body))
    assert PERSONAL.search(json.dumps(without, ensure_ascii=False)) is None
    assert (without["id"], without["type"]) == (orjson.loads(body)["id"], kind)
    names = ("id", "amount", "amount_total", "currency", "status", "payment_status", "payment_intent", "created")
    kept = without["data"]["object"]
    assert {name: kept.get(name) for name in names} == {name: OBJECTS[kind].get(name) for name in names}


def test_redaction_keeps_only_own_metadata_keys() -> None:
    body = to_bytes(stripe_event("checkout.session.completed", OBJECTS["checkout.session.completed"]))
    kept = orjson.loads(redacted("stripe.checkout.session.completed", body))["data"]["object"]
    assert kept["metadata"] == {"checkout_id": "chk_1", "traceparent": "00-1"}
    assert kept["customer"]["id"] == "cus_1"


def test_redacted_failure_keeps_its_code() -> None:
    kind = "payment_intent.payment_failed"
    without = orjson.loads(redacted(f"stripe.{kind}", to_bytes(stripe_event(kind, OBJECTS[kind]))))
    error = without["data"]["object"]["last_payment_error"]
    assert error == {"code": "card_declined", "charge": "ch_1", "payment_method": None}


@pytest.mark.parametrize(("event_type", "version"), registry.SCHEMAS)
def test_redacted_own_event_matches_its_contract(event_type: str, version: int) -> None:
    golden = json.loads((CONTRACTS / f"{event_type}.v{version}.json").read_text("utf-8"))
    without = orjson.loads(redacted(event_type, orjson.dumps(golden)))
    assert registry.load(event_type, version, without)
    assert {name for name in golden if without[name] != golden[name]} <= redaction.OWN_FIELDS
    assert not [name for name in redaction.OWN_FIELDS & golden.keys() if without[name] is not None]


@pytest.mark.parametrize(("event_type", "version"), registry.SCHEMAS)
def test_field_with_a_personal_name_is_redacted(event_type: str, version: int) -> None:
    personal = re.compile("email|phone|address|customer_|recipient|url|tracking|locale|street|city|postal")
    fields = registry.SCHEMAS[event_type, version].fields
    assert {name for name in fields if personal.search(name)} <= redaction.OWN_FIELDS


def test_body_without_personal_data_stays_byte_for_byte() -> None:
    body = b'{ "sku": "TEE-M",  "available": 1, "threshold": 2 }'
    assert redacted("inventory.stock.low", body) == body


@pytest.mark.parametrize("body", [b"", b"no json: zoe@example.com", b'["zoe@example.com"]', b'"zoe@example.com"'])
def test_redacted_body_that_is_not_an_object_is_empty(body: bytes) -> None:
    assert redacted("stripe.charge.succeeded", body) == b""


def test_unstorable_text_does_not_prevent_redaction() -> None:
    body = rb'{"data": {"object": {"id": "pi_1", "name": "Zo\ud800e", "amount": 7}}}'
    assert orjson.loads(redacted("stripe.charge.updated", body)) == {
        "data": {"object": {"id": "pi_1", "name": None, "amount": 7}}
    }
