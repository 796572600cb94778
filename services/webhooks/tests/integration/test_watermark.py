"""The watermark of the backfill in RabbitMQ: what it vouches for, and what the runs around it publish."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import stripe
from amqp.exceptions import AMQPError
from click.testing import CliRunner, Result
from events.messaging import publisher, topology
from events.messaging.publisher import Publisher
from events.testing import http
from events.testing.ports import free_port
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until
from kombu import Connection, Queue
from webhooks import backfill, watermark
from webhooks.__main__ import main
from webhooks.watermark import FULL_WINDOW, OVERLAP, Watermark, read_watermark, window_start, write_watermark

from demo.fake_stripe.server import FakeStripe

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
TYPES = ("charge.succeeded", "review.opened")
Run = Callable[..., Result]


def stored(minutes: float, types: tuple[str, ...] = TYPES, *, livemode: bool = False) -> Watermark:
    return Watermark(NOW - timedelta(minutes=minutes), frozenset(types), livemode)


def begin(found: Watermark | None) -> timedelta:
    return NOW - window_start(found, NOW, TYPES, livemode=False)


def test_run_begins_an_overlap_before_the_watermark() -> None:
    assert begin(stored(10)) == timedelta(minutes=10) + OVERLAP
    assert begin(stored(60 * 24 * 20)) == timedelta(days=20) + OVERLAP


def test_run_without_a_watermark_covers_the_full_window() -> None:
    assert begin(None) == FULL_WINDOW


def test_watermark_of_a_clock_that_is_little_ahead_is_used() -> None:
    assert begin(stored(-1)) == OVERLAP


@pytest.mark.parametrize(
    "found",
    [stored(-60), stored(10, ("charge.succeeded",)), stored(10, livemode=True)],
    ids=["future", "types", "mode"],
)
def test_watermark_that_vouches_for_too_little_is_not_used(found: Watermark) -> None:
    assert begin(found) == FULL_WINDOW


@pytest.fixture
def broker(broker_url: str) -> Iterator[Publisher]:
    with closing(publisher.connect(broker_url)) as connected:
        yield connected


@pytest.fixture(params=["rabbitmq", "memory"])
def any_broker_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("broker_url" if request.param == "rabbitmq" else "memory_broker_url")
    return url


def test_newest_watermark_is_read_again_and_again(any_broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "READ_PAUSE_S", 0.01)
    with closing(publisher.connect(any_broker_url)) as broker:
        assert read_watermark(any_broker_url) is None
        for minutes in (30, 20, 10):
            write_watermark(broker, stored(minutes))
        assert read_watermark(any_broker_url) == stored(10)
        assert read_watermark(any_broker_url) == stored(10)


def test_queue_keeps_only_the_newest_watermark(broker: Publisher, broker_url: str) -> None:
    for minutes in (30, 20, 10):
        write_watermark(broker, stored(minutes))
    with Connection(broker_url) as connection:
        queue = Queue(topology.WATERMARK, channel=connection.default_channel, no_declare=True)
        wait_until(lambda: queue.queue_declare(passive=True).message_count == 1, 10, "one message")


def test_watermark_survives_more_reads_than_a_delivery_limit(broker: Publisher, broker_url: str) -> None:
    """RabbitMQ 4 drops a message of a quorum queue after 20 returns, unless the queue has another limit."""
    write_watermark(broker, stored(10))
    for _ in range(25):
        assert read_watermark(broker_url) == stored(10)


def test_watermark_that_another_run_reads_is_waited_for(broker: Publisher, broker_url: str) -> None:
    write_watermark(broker, stored(10))
    with Connection(broker_url) as connection:
        queue = Queue(topology.WATERMARK, channel=connection.default_channel, no_declare=True)
        wait_until(lambda: queue.get(no_ack=False), 10, "the message")
        connection.close()
    assert read_watermark(broker_url) == stored(10)


def test_unreadable_watermark_counts_as_none(broker_url: str) -> None:
    with Connection(broker_url) as connection:
        connection.Producer().publish(b"[]", exchange=topology.EVENTS, routing_key=topology.WATERMARK_KEY)
    assert read_watermark(broker_url) is None


def test_missing_queue_is_an_error_and_no_empty_watermark(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "WATERMARK", "webhooks.missing")
    with pytest.raises(AMQPError):
        read_watermark(broker_url)


@pytest.fixture
def environment(fake: FakeStripe, broker_url: str) -> dict[str, str]:
    return {
        "BROKER_URL": broker_url,
        "STRIPE_WEBHOOK_SECRETS": "whsec_of_this_test",
        "LIVEMODE": "false",
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": fake.url,
    }


@pytest.fixture
def run(environment: dict[str, str], patient_publishers: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["backfill", *arguments], env=environment)


def buy(fake: FakeStripe, checkout_id: str) -> None:
    price: Any = {"currency": "eur", "unit_amount": 1999, "product_data": {"name": "Tee"}}
    with closing(stripe.RequestsClient(timeout=10)) as http_client:
        client = stripe.StripeClient("sk_test_x", base_addresses={"api": fake.url}, http_client=http_client)
        session = client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/thanks",
                "metadata": {"checkout_id": checkout_id},
            }
        )
    fake.pay(session.id)


def published(broker_url: str) -> set[str]:
    """Return the ids of the events in the queue of orders, and empty it."""
    found = set()
    with Connection(broker_url) as connection:
        queue = Queue("orders", channel=connection.default_channel, no_declare=True)
        while message := queue.get(no_ack=True):
            found.add(message.properties["message_id"])
    return found


def ids(fake: FakeStripe, since: float = 0.0) -> set[str]:
    kept = [event for event in fake.events() if event["type"] in topology.STRIPE_TYPES and event["created"] >= since]
    return {event["id"] for event in kept}


def test_next_run_lists_only_what_is_new(fake: FakeStripe, run: Run, broker_url: str, clock: dict[str, float]) -> None:
    clock["behind"] = 3600
    buy(fake, "chk_old")
    clock["behind"] = 0
    old = ids(fake)
    first = run()
    assert first.exit_code == 0, first.output
    assert published(broker_url) == old
    found = read_watermark(broker_url)
    assert found is not None
    assert abs(found.reached.timestamp() - time.time()) < 120

    buy(fake, "chk_new")
    second = run()
    assert second.exit_code == 0, second.output
    assert published(broker_url) == ids(fake) - old
    assert json.loads(second.stdout)["since"] >= (found.reached - OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_lost_watermark_makes_the_next_run_list_everything(
    fake: FakeStripe, run: Run, broker_url: str, clock: dict[str, float]
) -> None:
    """The broker loses its data: the events in its queues, and the watermark with them."""
    clock["behind"] = 3600
    buy(fake, "chk_1")
    clock["behind"] = 0
    run()
    published(broker_url)
    with Connection(broker_url) as connection:
        connection.default_channel.queue_purge(topology.WATERMARK)
    assert run().exit_code == 0
    assert published(broker_url) == ids(fake)


def test_failed_run_keeps_the_watermark_at_its_last_slice(
    fake: FakeStripe, run: Run, broker_url: str, clock: dict[str, float]
) -> None:
    clock["behind"] = 2 * 3600
    buy(fake, "chk_1")
    clock["behind"] = 0
    buy(fake, "chk_2")
    fake.add_fault("api_401", path="/v1/events", nth=4, count=99)
    failed = run()
    assert failed.exit_code == 1
    assert "Continue with: python -m webhooks backfill\n" in failed.stderr
    found = read_watermark(broker_url)
    assert found is not None
    assert found.reached == datetime.fromisoformat(json.loads(failed.stdout)["reached"])
    assert found.reached < datetime.now(UTC) - timedelta(days=2)
    fake.clear_faults()
    before = published(broker_url)
    assert run().exit_code == 0
    assert before | published(broker_url) == ids(fake)


def test_run_since_an_instant_does_not_move_the_watermark(fake: FakeStripe, run: Run, broker_url: str) -> None:
    buy(fake, "chk_1")
    assert run("--since", "1h").exit_code == 0
    assert published(broker_url) == ids(fake)
    assert read_watermark(broker_url) is None


def test_paced_run_takes_the_time_that_it_is_given(
    fake: FakeStripe, broker_url: str, monkeypatch: pytest.MonkeyPatch, clock: dict[str, float]
) -> None:
    """A window of four hours gets one hour: the slices with events wait for their share of it."""
    pauses: list[float] = []
    monkeypatch.setattr(backfill, "UNPACED_RATE", 0.001)
    stop: Any = SimpleNamespace(wait=pauses.append, is_set=lambda: False)
    clock["behind"] = 7200
    buy(fake, "chk_1")
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": fake.url})
    with closing(backfill.Lists()) as lists, closing(publisher.connect(broker_url)) as broker:
        job = backfill.Backfill(
            broker,
            backfill.StripeEvents(client),
            backfill.Report(),
            lists.submit,
            livemode=False,
            types=topology.STRIPE_TYPES,
            stop=stop,
        )
        end = datetime.now(UTC)
        list(job.run(end - timedelta(hours=4), end, spread=timedelta(hours=1)))
    assert 0 < max(pauses) <= 3600


def test_repeated_job_serves_metrics_and_stops_at_sigterm(
    fake: FakeStripe, environment: dict[str, str], broker_url: str, tmp_path: Path
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "webhooks", "backfill", "--every", "1s"]
    settings = {**os.environ, **environment, "HEALTH_PORT": str(port)}
    buy(fake, "chk_1")

    def metrics() -> str:
        return http.get(f"http://127.0.0.1:{port}/metrics").text

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=settings, start_new_session=True, stderr=log)
        with watch("process", str(process.pid), str(tmp_path)):
            wait_until(lambda: published(broker_url) >= ids(fake), 60, "the first run")
            wait_until(lambda: 'clozit_job_runs_total{job_name="backfill",outcome="succeeded"} 2.0' in metrics(), 60)
            assert 'clozit_job_runs_total{job_name="backfill",outcome="failed"} 0.0' in metrics()
            [success] = [
                float(line.rpartition(" ")[2])
                for line in metrics().splitlines()
                if line.startswith('clozit_job_last_success_timestamp_seconds{job_name="backfill"}')
            ]
            assert abs(success - time.time()) < 60
            assert "clozit_backfill_published_total 0.0" not in metrics()
            assert http.get(f"http://127.0.0.1:{port}/readyz").status_code == 200

            fake.add_fault("api_500", path="/v1/events", count=9999)
            wait_until(lambda: 'outcome="failed"} 1.0' in metrics(), 60, "a failed run")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    ended = [line for line in lines if line["event"] == "backfill ended"]
    assert [ended[0]["complete"], ended[-1]["complete"]] == [True, False]
    assert "Stripe did not answer" in ended[-1]["failure"]


@pytest.mark.parametrize("minutes", [1, 7, 60, 61])
def test_slices_leave_nothing_out_and_do_not_overlap(minutes: int) -> None:
    slices = list(backfill._cut(NOW - timedelta(hours=1), NOW, timedelta(minutes=minutes)))
    assert [slices[0].start, slices[-1].end] == [NOW - timedelta(hours=1), NOW]
    assert [each.end for each in slices[:-1]] == [each.start for each in slices[1:]]
    assert [each.is_last for each in slices] == [False] * (len(slices) - 1) + [True]
