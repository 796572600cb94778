"""The scheduled reconciliation: its watermark, its two passes, and the differences that stay open."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe
from events import stripe_api
from events.database.engine import Database
from events.testing import http
from events.testing.ports import free_port
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until
from orders.models.payments import Payment
from orders.models.reconciliation import JobWatermark, OpenDifference
from orders.reconciliation import schedule
from orders.reconciliation.schedule import DIFFERENCES, ScheduledReconciliation
from orders.reconciliation.stripe import StripeRecords
from sqlalchemy import select

from services.orders.tests.integration.reconciliation.shop import HOUR, Reconcile, Shop

RunJob = Callable[..., ScheduledReconciliation]


@pytest.fixture
def run_job(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> RunJob:
    """Return a function that makes one scheduled run."""
    monkeypatch.setattr(stripe_api, "MAX_RETRIES", 0)

    def run(*, repair: bool = False, stop: threading.Event | None = None) -> ScheduledReconciliation:
        job = ScheduledReconciliation(shop.database, StripeRecords(shop.client), repair=repair)
        job.run(stop or threading.Event())
        return job

    return run


def open_kinds(shop: Shop) -> list[str]:
    with shop.database.read() as session:
        return sorted(session.scalars(select(OpenDifference.kind)))


def shown() -> float:
    [metric] = DIFFERENCES.collect()
    return metric.samples[0].value


def watermark(database: Database) -> JobWatermark:
    with database.read() as session:
        return session.scalars(select(JobWatermark)).one()


def move_watermark(shop: Shop, back: timedelta) -> None:
    shop.change(JobWatermark, reached_at=datetime.now(UTC) - back)


def test_next_run_compares_only_what_is_new(shop: Shop, run_job: RunJob, clock: dict[str, float]) -> None:
    shop.start("chk_1")
    assert run_job().compared == 1
    clock["behind"] = 300
    shop.start("chk_2")
    assert run_job().compared == 1


def test_all_slices_are_compared_once(
    shop: Shop, run_job: RunJob, clock: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "SESSIONS_PER_SLICE", 4)
    ages = [3, 6, 7, 61, 300, 1441, 1499, 1501, 1505, 2938]
    for minutes in ages:
        clock["behind"] = 60.0 * minutes
        shop.start(f"chk_{minutes}")
    assert run_job().compared == len(ages)


def test_difference_is_shown_until_it_is_gone(shop: Shop, run_job: RunJob, clock: dict[str, float]) -> None:
    """Each later run begins after the session was created, and compares it again even so."""
    session_id = shop.buy("chk_1")
    run_job()
    assert (open_kinds(shop), shown()) == (["not-paid"], 1)
    move_watermark(shop, timedelta(minutes=3))
    run_job()
    assert (open_kinds(shop), shown()) == (["not-paid"], 1)
    shop.deliver_webhooks()
    run_job()
    assert shop.status("chk_1") == "paid"
    assert (open_kinds(shop), shown()) == ([], 0)
    assert session_id


def test_repaired_difference_is_compared_again(shop: Shop, run_job: RunJob) -> None:
    shop.buy("chk_1")
    run_job(repair=True)
    assert (open_kinds(shop), shown()) == (["not-paid"], 0)
    shop.run_workers()
    shop.confirm_stock("chk_1")
    move_watermark(shop, timedelta(minutes=3))
    run_job(repair=True)
    assert (shop.status("chk_1"), open_kinds(shop), shown()) == ("paid", [], 0)


def test_repair_without_effect_is_shown_by_the_next_run(shop: Shop, run_job: RunJob) -> None:
    """The event was handled, but the amount that is booked is wrong again."""
    shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.change(Payment, amount=1)
    run_job(repair=True)
    assert open_kinds(shop) == ["charge-differs", "payment-differs"]
    assert shown() == 2
    move_watermark(shop, timedelta(minutes=3))
    run_job(repair=True)
    assert shown() == 2
    shop.change(Payment, amount=1999)
    run_job(repair=True)
    assert shown() == 0


def test_session_paid_long_after_its_creation_is_compared_late(
    shop: Shop, run_job: RunJob, clock: dict[str, float]
) -> None:
    """The late pass finds an end that no run could see when the session was new."""
    clock["behind"] = 25.5 * HOUR
    session_id = shop.start("chk_1")
    run_job()
    move_watermark(shop, timedelta(minutes=45))
    clock["behind"] = 2 * HOUR
    shop.fake.expire(session_id)
    clock["behind"] = 0
    run_job()
    assert open_kinds(shop) == ["not-expired"]


def test_wrong_amount_of_an_older_session_is_found_by_its_intent(
    shop: Shop, run_job: RunJob, clock: dict[str, float]
) -> None:
    """The session was created before the window, and its payment in a slice with an end."""
    clock["behind"] = 20 * HOUR
    session_id = shop.start("chk_1")
    run_job()
    move_watermark(shop, timedelta(hours=4))
    clock["behind"] = 3 * HOUR
    shop.fake.pay(session_id)
    shop.deliver_webhooks()
    shop.change(Payment, amount=1998)
    clock["behind"] = 0
    run_job()
    assert open_kinds(shop) == ["charge-differs", "payment-differs"]


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_lost_refund_or_dispute_is_shown_until_it_is_booked(
    shop: Shop, run_job: RunJob, clock: dict[str, float], kind: str
) -> None:
    session_id = shop.buy("chk_1", "card" if kind == "refund" else "dispute")
    shop.deliver_webhooks("[!r]*.s*")
    if kind == "refund":
        shop.fake.refund(session_id, amount=100)
    shop.fake.account.clock.advance(0)
    run_job()
    found = [name for name in open_kinds(shop) if name.startswith(kind)]
    move_watermark(shop, timedelta(minutes=3))
    run_job()
    assert [name for name in open_kinds(shop) if name.startswith(kind)] == found
    shop.deliver_webhooks()
    run_job()
    assert [name for name in open_kinds(shop) if name.startswith(kind)] == []
    if kind == "refund":
        assert found == ["refund-missing"]


def test_failed_run_keeps_what_it_has_compared(shop: Shop, run_job: RunJob, clock: dict[str, float]) -> None:
    shop.buy("chk_1")
    shop.fake.add_fault("api_500", path="/v1/checkout/sessions", nth=5, count=99)
    with pytest.raises(stripe.StripeError):
        run_job()
    failed = watermark(shop.database)
    assert failed.succeeded_at is None
    assert failed.reached_at < datetime.now(UTC) - timedelta(hours=12)
    shop.fake.clear_faults()
    run_job()
    assert open_kinds(shop) == ["not-paid"]
    succeeded = watermark(shop.database)
    assert succeeded.succeeded_at is not None
    assert succeeded.reached_at > datetime.now(UTC) - timedelta(minutes=5)


def test_stopped_run_ends_before_its_next_slice(shop: Shop, run_job: RunJob) -> None:
    stop = threading.Event()
    stop.set()
    shop.buy("chk_1")
    assert run_job(stop=stop).compared == 0


def test_watermark_of_a_wrong_clock_is_not_used(shop: Shop, run_job: RunJob) -> None:
    shop.start("chk_1")
    run_job()
    move_watermark(shop, timedelta(days=-1))
    assert run_job().compared == 1


def test_every_excludes_since(run: Reconcile) -> None:
    assert run("--every", "1h", "--since", "3d").exit_code == 2
    assert run("--every", "never").exit_code == 2


def test_repeated_job_serves_metrics_and_stops_at_sigterm(shop: Shop, tmp_path: Path) -> None:
    port = free_port()
    shop.buy("chk_1")
    settings: dict[str, Any] = {
        "DATABASE_URL": str(shop.database.engine.url),
        "BROKER_URL": "memory://",
        "OPERATOR_TOKENS": "ana:operator-token-of-ana",
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": shop.fake.url,
        "LIVEMODE": "false",
        "HEALTH_PORT": str(port),
    }
    command = [sys.executable, "-m", "orders", "reconcile", "--every", "1s"]

    def metrics() -> str:
        return http.get(f"http://127.0.0.1:{port}/metrics").text

    process = subprocess.Popen(
        command, env={**os.environ, **settings}, start_new_session=True, stderr=subprocess.DEVNULL
    )
    with watch("process", str(process.pid), str(tmp_path)):
        wait_until(lambda: 'clozit_job_runs_total{job_name="reconcile",outcome="succeeded"} 2.0' in metrics(), 60)
        assert "clozit_reconcile_differences 1.0" in metrics()
        assert 'clozit_job_last_success_timestamp_seconds{job_name="reconcile"}' in metrics()
        assert http.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
