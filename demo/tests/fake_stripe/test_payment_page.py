"""The payment page over HTTP, as a browser without JavaScript uses it."""

import re
from typing import Any

import pytest
import stripe
from events.testing import http

from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession, Receiver

PAYER = {"email": "anna@example.com", "name": "Anna", "method": "card"}


def test_declined_card_shows_the_reason_and_another_pays(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    session = create_session()
    assert session.url
    page = http.get(session.url)
    assert page.status_code == 200
    assert "€57.38" in page.text
    assert "T-shirt, gray" in page.text
    assert 'href="https://shop.test/cart"' in page.text
    declined = http.post(session.url, data={**PAYER, "card_number": "4000 0000 0000 0002"})
    assert declined.status_code == 422
    assert "Your card was declined." in declined.text
    assert 'value="anna@example.com"' in declined.text
    paid = http.post(session.url, data={**PAYER, "card_number": "4242 4242 4242 4242"})
    assert paid.status_code == 303
    assert paid.headers["Location"] == f"https://shop.test/thanks?session_id={session.id}"
    (completed,) = receiver.webhooks_of("checkout.session.completed")  # delivered before the redirect
    assert completed.event["data"]["object"]["customer_details"]["email"] == "anna@example.com"


def test_second_click_charges_nothing(fake: FakeStripe, create_session: CreateSession) -> None:
    url = str(create_session().url)
    first, second = (http.post(url, data=PAYER) for _click in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    assert len(fake.ledger["charges"]) == 1
    assert "already paid" in http.get(url).text


@pytest.mark.parametrize("email", ["", "anna"])
def test_email_is_required(create_session: CreateSession, email: str) -> None:
    answer = http.post(str(create_session().url), data={**PAYER, "email": email})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_email_is_prefilled(create_session: CreateSession) -> None:
    assert 'value="otto@example.com"' in http.get(str(create_session(customer_email="otto@example.com").url)).text


@pytest.mark.parametrize("method", ["sepa_success", "sepa_fail"])
def test_sepa_pays_later(fake: FakeStripe, create_session: CreateSession, method: str) -> None:
    session = create_session()
    assert http.post(str(session.url), data={**PAYER, "method": method}).status_code == 303
    assert fake.session(session.id)["payment_status"] == "unpaid"


def test_sepa_is_offered_for_euros_only(create_session: CreateSession, cart: dict[str, Any]) -> None:
    assert "SEPA" in re.sub(r"<details>.*?</details>", "", http.get(str(create_session().url)).text, flags=re.DOTALL)
    price = {"currency": "jpy", "unit_amount": 2990, "product_data": {"name": "Socks"}}
    yen = create_session(line_items=[{"price_data": price, "quantity": 1}], shipping_options=None)
    page = http.get(str(yen.url)).text
    assert "¥2,990" in page
    assert 'value="sepa_success"' not in page
    assert http.post(str(yen.url), data={**PAYER, "method": "sepa_success"}).status_code == 422


def test_chosen_shipping_shows_its_total_before_payment(
    fake: FakeStripe, create_session: CreateSession, cart: dict[str, Any]
) -> None:
    express = {
        "display_name": "Express",
        "type": "fixed_amount",
        "fixed_amount": {"amount": 990, "currency": "eur"},
    }
    session = create_session(shipping_options=[*cart["shipping_options"], {"shipping_rate_data": express}])
    assert "Express" in http.get(str(session.url)).text
    choice = {**PAYER, "shipping_rate": str(session.shipping_options[1].shipping_rate)}
    changed = http.post(str(session.url), data=choice)
    assert "It is now €62.38." in changed.text
    assert fake.ledger["charges"] == []  # the page shows the new total before a payment
    assert http.post(str(session.url), data=choice).status_code == 303
    assert fake.ledger["charges"][0]["amount"] == 5248 + 990


def test_promotion_code_is_applied_before_payment(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"amount_off": 1000, "currency": "eur", "duration": "once"})
    client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "AUTUMN"})
    session = create_session(allow_promotion_codes=True)
    unknown = http.post(str(session.url), data={**PAYER, "promotion_code": "SPRING", "update": "code"})
    assert "not valid here" in unknown.text
    applied = http.post(str(session.url), data={**PAYER, "promotion_code": "autumn", "update": "code"})
    assert "It is now €47.38." in applied.text
    http.post(str(session.url), data=PAYER)
    assert fake.ledger["charges"][0]["amount"] == 4738


def test_required_phone_address_and_terms_are_checked(fake: FakeStripe, create_session: CreateSession) -> None:
    session = create_session(
        phone_number_collection={"enabled": True},
        billing_address_collection="required",
        consent_collection={"terms_of_service": "required", "promotions": "auto"},
    )
    empty = {**PAYER, "phone": " ", "line1": "", "country": "US"}
    refused = http.post(str(session.url), data=empty)
    assert refused.status_code == 422
    for error in ("Enter a phone number", "Enter the street and number", "Accept the terms", "one of these countries"):
        assert error in refused.text
    complete = {**PAYER, "phone": "+43 1 58858", "line1": "Ring 1", "country": "AT", "terms": "accepted"}
    assert http.post(str(session.url), data=complete).status_code == 303
    paid = fake.session(str(session.id))
    assert paid["customer_details"]["phone"] == "+43 1 58858"
    assert paid["collected_information"]["shipping_details"]["address"]["country"] == "AT"
    assert paid["consent"] == {"promotions": "opt_out", "terms_of_service": "accepted"}
    assert fake.ledger["charges"][0]["billing_details"]["address"]["line1"] == "Ring 1"


def test_total_with_automatic_tax_follows_the_country(fake: FakeStripe, create_session: CreateSession) -> None:
    price = {"currency": "eur", "unit_amount": 10_000, "tax_behavior": "exclusive", "product_data": {"name": "Coat"}}
    session = create_session(
        line_items=[{"price_data": price, "quantity": 1}],
        automatic_tax={"enabled": True},
        shipping_options=None,
        shipping_address_collection=None,
    )
    assert "Choose a country" in http.get(str(session.url)).text
    changed = http.post(str(session.url), data={**PAYER, "country": "AT"})
    assert "It is now €120.00." in changed.text
    assert fake.ledger["charges"] == []
    assert http.post(str(session.url), data={**PAYER, "country": "AT"}).status_code == 303
    assert fake.ledger["charges"][0]["amount"] == 12_000
    assert fake.session(str(session.id))["automatic_tax"]["status"] == "complete"


def test_expire_button_expires_the_session(fake: FakeStripe, create_session: CreateSession) -> None:
    session = create_session()
    expired = http.post(f"{session.url}/expire", follow_redirects=True)
    assert expired.status_code == 410
    assert "has expired" in expired.text
    assert fake.session(session.id)["status"] == "expired"
    assert http.post(str(session.url), data=PAYER).status_code == 410
    assert fake.ledger["charges"] == []


def test_unknown_session_is_not_found(fake: FakeStripe) -> None:
    assert http.get(f"{fake.url}/c/pay/cs_test_none").status_code == 404
