"""Settings that change what people read: from the cart and Stripe's page to the e-mail, and its links back.

The system asks for consent and reminds only customers who gave it. It makes no recovery links, and its default
language is French.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from events.testing import http
from events.testing.waiting import wait_until

from demo.embedded import embedded_system
from demo.fake_stripe.errors import StripeError
from demo.ports import Ports
from demo.scenarios.run import ScenarioRun
from demo.system import System
from tests.e2e.shopper import Shopper

SKU = "TEE-ORG-WHT-M"


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """An embedded system with other settings than the demo's."""
    countries = ("DE", "FR", "IT")
    asking = {"consent_promotions": True, "allow_recovery": False, "shipping_countries": countries}
    mails = {"abandoned_cart_emails": "consent", "default_locale": "fr"}
    with embedded_system(folder, Ports.find_free(), checkout=asking, notifications=mails) as running:
        yield running


def leave(run: ScenarioRun, promotions: str | None) -> None:
    """Fill in Stripe's page, have the card declined, and leave until the session expires."""
    checkout = run.start_checkout({SKU: 1})
    if promotions is not None:
        with suppress(StripeError):
            run.system.stripe.pay(checkout["session_id"], "decline", run.email, promotions=promotions)
    run.system.stripe.expire(checkout["session_id"])
    run.check("The order expires", "expired", lambda: run.status(checkout))


def expired_events(system: System, status: str) -> int:
    path = f"/ops/inbox?type=orders.order.expired&status={status}&limit=200"
    return len(system.get("notifications", path, operator=True).json()["items"])


def reminders(run: ScenarioRun) -> list[str]:
    """Return the statuses of the customer's reminders."""
    rows = run.system.get("notifications", f"/notifications?kind=abandoned_cart&recipient={run.email}", operator=True)
    return sorted(row["status"] for row in rows.json()["items"])


@pytest.mark.parametrize("promotions", [None, ""], ids=["not asked", "opted out"])
def test_customer_without_consent_gets_no_reminder(system: System, promotions: str | None) -> None:
    run, before = ScenarioRun(system, f"no consent {promotions is None}"), expired_events(system, "ignored")
    leave(run, promotions)
    wait_until(lambda: expired_events(system, "ignored") == before + 1)
    assert reminders(run) == []


def test_customer_with_consent_gets_one_and_unsubscribes(system: System) -> None:
    run = ScenarioRun(system, "consent")
    leave(run, "yes")
    leave(run, "yes")
    wait_until(lambda: reminders(run) == ["sent", "suppressed"])
    (mail,) = (mail for mail in system.mailbox.messages if run.email in mail.to)
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (link,) = re.findall(r"<(http.*)>", mail.message["List-Unsubscribe"])
    assert link.startswith(f"{system.urls['notifications']}/unsubscribe/")
    assert "Unsubscribe" in http.get(link).text
    answer = http.post(link, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, "You are unsubscribed" in answer.text) == (200, True)
    leave(run, "yes")
    wait_until(lambda: reminders(run) == ["sent", "suppressed", "suppressed"])
    rows: Any = system.get("notifications", f"/notifications?recipient={run.email}", operator=True).json()["items"]
    assert (rows[0]["kind"], rows[0]["error"]) == ("abandoned_cart", "the address is unsubscribed")


def test_purchase_in_another_tab_stops_the_reminder(system: System) -> None:
    run = ScenarioRun(system, "other tab")
    bought = run.start_checkout({SKU: 1})
    run.pay(bought)
    leave(run, "yes")
    wait_until(lambda: reminders(run) == ["suppressed"])
    rows: Any = system.get("notifications", f"/notifications?recipient={run.email}", operator=True).json()["items"]
    assert {row["error"] for row in rows if row["kind"] == "abandoned_cart"} == {"the customer has bought"}


def test_expired_cart_without_recovery_has_no_link(system: System) -> None:
    shopper = Shopper(system, "no recovery")
    checkout = shopper.start_checkout({SKU: 1})
    with suppress(StripeError):
        system.stripe.pay(checkout["session_id"], "decline", shopper.email, promotions="yes")
    system.stripe.expire(checkout["session_id"])
    reminder = shopper.mail("abandoned_cart")
    assert shopper.order_field(checkout, "recovery_url") is None
    assert system.stripe.session(checkout["session_id"])["after_expiration"] is None
    for text in (reminder.text, reminder.html):
        assert f"/r/{checkout['session_id']}" not in text
        assert "Complete your order" not in text
        assert "Go to the shop" in text
    with pytest.raises(StripeError, match="cannot be recovered"):
        system.stripe.recover(checkout["session_id"])


@pytest.mark.parametrize(
    ("locale", "country", "words"),
    [
        ("de", "IT", "ist bestätigt"),
        ("ja", "FR", "ご注文"),
        (None, "DE", "ist bestätigt"),
        (None, "IT", "est confirmée"),
        ("es", "IT", "est confirmée"),
        ("auto", "IT", "est confirmée"),
    ],
)
def test_locale_then_country_then_default_choose_the_language(
    system: System, locale: str | None, country: str, words: str
) -> None:
    shopper = Shopper(system, f"language {locale} {country}", locale)
    session = shopper.buy(country=country)
    assert session["locale"] == locale, "Stripe's page has the language of the checkout"
    assert words in shopper.mail("order_confirmed").subject
