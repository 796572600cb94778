"""Reminders of abandoned carts: from the consent on Stripe's page to the e-mail, and its link back to the service."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from events.testing.waiting import wait_until

from demo import embedded
from demo.fake_stripe.errors import StripeError
from demo.ports import Ports
from demo.scenarios.run import ScenarioRun
from demo.system import System

SKU = "TEE-ORG-WHT-M"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An embedded system that asks for consent, and reminds only customers who gave it."""
    configs = embedded._configs

    def asking(*args: Any) -> dict[str, Any]:
        made = configs(*args)
        made["checkout"] = replace(made["checkout"], consent_promotions=True)
        made["notifications"] = replace(made["notifications"], abandoned_cart_emails="consent")
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_configs", asking)
        with embedded.embedded_system(tmp_path_factory.mktemp("reminders"), Ports.find_free()) as running:
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
    assert "Unsubscribe" in httpx.get(link).text
    answer = httpx.post(link, data={"List-Unsubscribe": "One-Click"})
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
