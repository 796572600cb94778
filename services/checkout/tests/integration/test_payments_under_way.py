"""Payments under way: each session's own facts, and the stock that stays held meanwhile."""

import itertools
from datetime import datetime, timedelta
from typing import Any

from checkout import models
from checkout.models import Discount, DiscountUse

DAY = timedelta(days=1)


def test_unknown_payment_status_fulfills_nothing(any_system: Any) -> None:
    checkout = any_system.start()
    any_system.deliver_session_event("completed", checkout.id, payment_status="paid_by_barter")
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PENDING
    any_system.deliver_session_event("async_payment_succeeded", checkout.id, payment_status="paid")
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PAID


def test_second_attempt_of_a_cart_is_pending_in_any_order(system: Any) -> None:
    with system.database.begin() as session:
        session.add(Discount(code="ONCE", percent_off=10, limit_total=1, active=True))
    facts = [
        ("expired", "cs_test_1", "unpaid"),
        ("completed", "cs_test_2", "unpaid"),
        ("async_payment_failed", "cs_test_2", "unpaid"),
        ("completed", "cs_test_3", "unpaid"),
    ]
    orders = list(itertools.permutations(facts))
    for number, order in enumerate(orders):
        key = f"key-{number}"
        system.inventory.stock["TEE-M"] = 5
        with system.database.begin() as session:
            session.get_one(Discount, "ONCE").limit_total = number + 2
        checkout = system.start(key, discount_code="ONCE")
        for kind, session_id, payment_status in order:
            own = str(checkout.session_id) if session_id == "cs_test_1" else f"{session_id}_{number}"
            system.deliver_session_event(kind, checkout.id, id=own, payment_status=payment_status)
        third = f"cs_test_3_{number}"
        with system.database.read() as session:
            current = session.get_one(models.Checkout, checkout.id)
            assert (current.payment_status, current.pending_sessions) == (models.PAYMENT_PENDING, [third]), order
            assert session.get_one(DiscountUse, checkout.id).status == models.HELD
        system.deliver_session_event("async_payment_succeeded", checkout.id, id=third, payment_status="paid")
        assert system.checkouts.get(checkout.id).session_id == third


def test_recovered_cart_of_unknown_status_fails_in_any_order(system: Any) -> None:
    facts = [("expired", 1, "unpaid"), ("completed", 2, "paid_by_barter"), ("async_payment_failed", 2, "unpaid")]
    for number, order in enumerate(itertools.permutations(facts)):
        system.inventory.stock["TEE-M"] = 5
        checkout = system.start(f"key-{number}")
        sessions = {1: str(checkout.session_id), 2: f"cs_recovered_{number}"}
        for kind, session, payment_status in order:
            system.deliver_session_event(kind, checkout.id, id=sessions[session], payment_status=payment_status)
        current = system.checkouts.get(checkout.id)
        assert (current.status, current.payment_status) == (models.COMPLETE, models.PAYMENT_FAILED), order


def held_until(system: Any) -> datetime:
    [reservation] = system.inventory.reservations.values()
    return datetime.fromisoformat(reservation["expires_at"])


def test_stock_is_held_while_a_payment_is_under_way(any_system: Any) -> None:
    checkout = any_system.start()
    any_system.stripe.sessions["cs_test_1"].update(status="complete", payment_status="unpaid", payment_intent=None)
    any_system.deliver_session_event("completed", checkout.id, payment_status="unpaid")
    start = any_system.stored_checkout().pending_at
    any_system.clock.now = start
    for day in range(1, 64):
        any_system.sweeper.run(any_system.clock.advance(days=1, minutes=1))
        left = held_until(any_system) - any_system.clock()
        assert left > DAY or any_system.clock() > start + 64 * DAY, day
    assert held_until(any_system) == start + 65 * DAY
    for _ in range(5):
        any_system.sweeper.run(any_system.clock.advance(days=1))
    assert held_until(any_system) == start + 65 * DAY


def test_payment_that_ended_meanwhile_is_recorded_and_not_held(any_system: Any) -> None:
    checkout = any_system.start()
    before = held_until(any_system)
    any_system.deliver_session_event("completed", checkout.id, payment_status="unpaid")
    any_system.stripe.sessions["cs_test_1"].update(status="complete", payment_status="paid", payment_intent="pi_1")
    any_system.clock.now = any_system.stored_checkout().pending_at
    any_system.sweeper.run(any_system.clock.advance(days=1, minutes=1))
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PAID
    assert held_until(any_system) == before


def test_stock_that_is_gone_does_not_stop_the_sweep(any_system: Any) -> None:
    checkout = any_system.start()
    any_system.stripe.sessions["cs_test_1"].update(status="complete", payment_status="unpaid", payment_intent=None)
    any_system.deliver_session_event("completed", checkout.id, payment_status="unpaid")
    any_system.inventory.reservations.clear()
    any_system.clock.now = any_system.stored_checkout().pending_at
    any_system.sweeper.run(any_system.clock.advance(days=1, minutes=1))
    assert any_system.stored_checkout().check_at > any_system.clock()
