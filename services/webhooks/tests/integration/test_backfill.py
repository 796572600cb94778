"""Backfill: events whose webhooks were lost are listed at Stripe and published. Duplicates are harmless."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from datetime import datetime
from typing import Any

import orjson
import pytest
import stripe
from click.testing import CliRunner, Result
from events import stripe_api
from events.errors import ConfigError, PublishUnconfirmedError
from events.messaging import publisher
from events.messaging.chains import INBOX
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.topology import STRIPE_TYPES
from events.testing.bus import deliver
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import sign
from webhooks import backfill
from webhooks.__main__ import main
from webhooks.config import load
from webhooks.verification import verify_event

from demo.fake_stripe.server import FakeStripe

SECRET = "whsec_" + "n" * 24
ENVIRONMENT = {"BROKER_URL": "memory://", "STRIPE_WEBHOOK_SECRETS": SECRET, "LIVEMODE": "false"}
RunBackfill = Callable[..., Result]
Buy = Callable[[int], list[str]]


class RecordingPublisher:
    """A publisher that confirms every event, except those for which `is_unconfirmed` returns True."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False
        self._lock = threading.Lock()
        self.is_unconfirmed: Callable[[Event], bool] = lambda _event: False

    def publish(self, event: Event) -> "Future[None]":
        future: Future[None] = Future()
        with self._lock:
            if self.is_unconfirmed(event):
                future.set_exception(PublishUnconfirmedError(f"{event.id}: nack"))
            else:
                self.events.append(event)
                future.set_result(None)
        return future

    def wait(self, *futures: "Future[None]") -> None:
        for future in futures:
            future.result()

    def check(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


@pytest.fixture
def buy(fake: FakeStripe) -> Buy:
    """A function that pays so many checkouts by card and returns their ids."""

    def purchase(client: stripe.StripeClient, checkout_id: str) -> None:
        metadata = {"checkout_id": checkout_id}
        price: Any = {"currency": "eur", "unit_amount": 1999, "product_data": {"name": "Tee"}}
        session = client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/thanks",
                "metadata": metadata,
                "payment_intent_data": {"metadata": metadata},
            }
        )
        fake.pay(session.id)

    def many(count: int) -> list[str]:
        checkout_ids = [f"chk_{number}" for number in range(count)]
        with closing(stripe.RequestsClient(timeout=10)) as http_client:
            client = stripe.StripeClient("sk_test_x", base_addresses={"api": fake.url}, http_client=http_client)
            for checkout_id in checkout_ids:
                purchase(client, checkout_id)
        return checkout_ids

    return many


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> RecordingPublisher:
    recording = RecordingPublisher()
    monkeypatch.setattr(publisher, "connect", lambda _url, **_options: recording)
    return recording


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(backfill, "sleep", pauses.append)
    return pauses


@pytest.fixture
def run(fake: FakeStripe, broker: RecordingPublisher, slept: list[float]) -> RunBackfill:
    def run_backfill(*arguments: str, **environment: str) -> Result:
        env = {**ENVIRONMENT, "STRIPE_API_KEY": "sk_test_x", "STRIPE_API_BASE": fake.url, **environment}
        return CliRunner().invoke(main, ["backfill", *arguments], env=env)

    return run_backfill


def stripe_event_ids(fake: FakeStripe) -> list[str]:
    """Return the ids of Stripe's events that a service handles."""
    return [event["id"] for event in fake.events() if event["type"] in STRIPE_TYPES]


def summary(result: Result) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(result.stdout)
    return loaded


def test_lost_events_are_each_published_once(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    checkout_ids = buy(3)
    result = run("--since", "1h")
    assert result.exit_code == 0, result.output
    assert sorted(broker.ids) == sorted(stripe_event_ids(fake))
    completed = [event for event in broker.events if event.type == "checkout.session.completed"]
    assert [event.correlation_id for event in completed] == checkout_ids[::-1]
    counts = summary(result)
    assert (counts["listed"], counts["published"]) == (len(broker.ids), len(broker.ids))
    assert (counts["complete"], counts["types"]["checkout.session.completed"]) == (True, 3)
    assert broker.closed


def test_second_run_publishes_duplicates_that_inboxes_ignore(
    sqlite_database: MakeDatabase, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    database, handlers = sqlite_database([INBOX]), Handlers()
    paid: list[str | None] = []
    handlers.on("stripe.checkout.session.completed")(lambda event, _session: paid.append(event.correlation_id))
    buy(3)
    for outcomes in ({"done", "ignored"}, {"duplicate"}):
        run("--since", "1h")
        assert {deliver(database, handlers, event) for event in broker.events} == outcomes
        broker.events.clear()
    assert set(paid) == {"chk_0", "chk_1", "chk_2"}
    assert len(paid) == 3


def test_published_event_equals_the_one_of_the_ingest(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    run("--since", "1h", "--types", "checkout.session.completed")
    [event], [document] = broker.events, fake.events("checkout.session.completed")
    assert orjson.loads(event.body) == document
    posted = verify_event(event.body, sign(event.body, SECRET), [SECRET], livemode=False)
    assert event.headers.keys() == posted.headers.keys()
    assert {**event.properties(), "headers": None} == {**posted.properties(), "headers": None}
    assert (event.routing_key, event.source) == ("stripe.checkout.session.completed", "webhooks")


def test_types_limit_the_published_events(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(2)
    assert run("--since", "1h", "--types", "charge.succeeded, payment_intent.succeeded").exit_code == 0
    assert {event.type for event in broker.events} == {"charge.succeeded", "payment_intent.succeeded"}
    assert len(broker.events) == 4


def test_types_without_a_handler_are_listed_only_by_name(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    assert {event["type"] for event in fake.events()} > {"payment_intent.created"}
    run("--since", "1h")
    assert {event.type for event in broker.events} <= set(STRIPE_TYPES)
    broker.events.clear()
    run("--since", "1h", "--types", "payment_intent.created")
    assert [event.type for event in broker.events] == ["payment_intent.created"]


def test_dry_run_publishes_nothing_and_needs_no_broker(
    buy: Buy, run: RunBackfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy(1)
    monkeypatch.setattr(publisher, "connect", lambda _url, **_options: pytest.fail("connected to the broker"))
    counts = summary(run("--since", "1h", "--dry-run"))
    assert counts["listed"] > 0
    assert (counts["published"], counts["dry_run"]) == (0, True)


def test_all_pages_are_published(fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill) -> None:
    buy(110)
    assert len(stripe_event_ids(fake)) > 3 * backfill.PAGE_SIZE
    assert run("--since", "1h").exit_code == 0
    assert sorted(broker.ids) == sorted(stripe_event_ids(fake))


def test_events_of_all_slices_are_published_once(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill, clock: dict[str, float]
) -> None:
    """The slices grow from a minute to hours. None may overlap, and none may leave a second out."""
    for minutes in (*range(10), 35, 59, 60, 61, 600, 601, 3000, 4319):
        clock["behind"] = 60.0 * minutes
        buy(1)
    clock["behind"] = 0.0
    result = run("--since", "3d")
    assert result.exit_code == 0, result.output
    assert sorted(broker.ids) == sorted(stripe_event_ids(fake))


def test_unconfirmed_event_stops_the_run_which_can_continue(
    fake: FakeStripe,
    buy: Buy,
    broker: RecordingPublisher,
    run: RunBackfill,
    slept: list[float],
    clock: dict[str, float],
) -> None:
    """The run prints an instant before which everything is published. It goes on there, and leaves nothing out."""
    for minutes in (55, 40, 20, 1):
        clock["behind"] = 60.0 * minutes
        buy(1)
    clock["behind"] = 0.0
    late = [event["id"] for event in fake.events() if event["created"] > time.time() - 30 * 60]
    broker.is_unconfirmed = lambda event: event.id in late
    result = run("--since", "1h", "--rate", "1000000")
    assert result.exit_code == 1
    retries = [pause for pause in slept if pause >= min(backfill.RETRY_DELAYS_S)]
    assert sorted({*retries}) == list(backfill.RETRY_DELAYS_S)
    assert summary(result)["complete"] is False
    reached = datetime.fromisoformat(summary(result)["reached"]).timestamp()
    before = [event["id"] for event in fake.events() if event["created"] < reached and event["type"] in STRIPE_TYPES]
    assert 0 < len(before) <= len(broker.ids)
    assert {*before} <= {*broker.ids}

    broker.is_unconfirmed = lambda _event: False
    hint = result.stderr.rpartition("Continue with: python -m webhooks backfill ")[2].split()
    assert hint == ["--since", summary(result)["reached"], "--rate", "1e+06"]
    assert run(*hint).exit_code == 0
    assert {*broker.ids} == {*stripe_event_ids(fake)}


def test_event_unconfirmed_twice_is_published_by_a_retry(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    answers = iter([True, True])
    broker.is_unconfirmed = lambda _event: next(answers, False)
    assert run("--since", "1h").exit_code == 0
    assert sorted(broker.ids) == sorted(stripe_event_ids(fake))


def test_interrupted_run_prints_how_to_continue(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    """SIGTERM comes while the second of two pages is still to be listed."""
    buy(60)
    types = "charge.succeeded,payment_intent.succeeded,checkout.session.completed"
    assert len(fake.events("charge.succeeded")) * 3 > backfill.PAGE_SIZE

    def terminate(_event: Event) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        broker.is_unconfirmed = lambda _event: False
        return False

    broker.is_unconfirmed = terminate
    before = signal.getsignal(signal.SIGTERM)
    result = run("--since", "1h", "--types", types)
    assert signal.getsignal(signal.SIGTERM) is before
    assert result.exit_code == 1
    assert "interrupted" in result.stderr
    assert f" --types {types}" in result.stderr
    assert len(broker.events) == backfill.PAGE_SIZE
    assert broker.closed


def test_stripe_outage_prints_how_to_continue(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy(60)
    monkeypatch.setattr(stripe_api, "MAX_RETRIES", 0)
    fake.add_fault("api_500", path="/v1/events", nth=4, count=99)
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert "Stripe did not answer as expected" in result.stderr
    assert f"--since {summary(result)['reached']}" in result.stderr


def test_limited_calls_are_repeated_after_a_pause(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill, slept: list[float]
) -> None:
    buy(1)
    fake.add_fault("api_429", path="/v1/events", nth=2, count=2)
    assert run("--since", "1h").exit_code == 0
    assert sorted(broker.ids) == sorted(stripe_event_ids(fake))
    assert len([pause for pause in slept if pause in backfill.LIMITED_DELAYS_S]) == 2


@pytest.mark.parametrize("refusal", ["api_401", "api_403"])
def test_refused_key_is_logged_and_says_what_to_do(fake: FakeStripe, run: RunBackfill, refusal: str) -> None:
    fake.add_fault(refusal, path="/v1/events")
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert "Set STRIPE_API_KEY to a valid key that has the needed rights." in result.stderr
    [logged] = [json.loads(line) for line in result.stderr.splitlines() if "stripe refused the API key" in line]
    assert (logged["level"], logged["action"], logged["http_status"]) == ("error", "backfill", int(refusal[-3:]))


def test_events_of_the_other_mode_are_skipped(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    for event in fake.events():
        event["livemode"] = True
    result = run("--since", "1h")
    assert (result.exit_code, broker.events) == (0, [])
    assert summary(result)["skipped_livemode"] == summary(result)["listed"] > 0
    assert "other mode" in result.stderr


def test_malformed_event_is_named_and_the_others_published(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    malformed = fake.events("charge.succeeded")[0]
    malformed["data"] = {}
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert summary(result)["malformed"] == [malformed["id"]]
    assert sorted(broker.ids) == sorted({*stripe_event_ids(fake)} - {malformed["id"]})


def test_rate_limits_the_events_per_second(
    buy: Buy, broker: RecordingPublisher, run: RunBackfill, slept: list[float]
) -> None:
    """The clock does not move: each batch waits for as long as all events before it need."""
    buy(20)
    run("--since", "1h", "--rate", "0.5", "--types", "charge.succeeded,payment_intent.succeeded")
    assert len(broker.events) == 40
    assert slept == pytest.approx([backfill.PUBLISH_BATCH / 0.5], abs=2)


@pytest.mark.parametrize(
    "arguments", [["--types", "charge.failed"], ["--dry-run"], ["--since", "1h", "--every", "5m"], ["--every", "0s"]]
)
def test_options_that_contradict_each_other_are_refused(run: RunBackfill, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_age_beyond_stripes_retention_is_limited(run: RunBackfill) -> None:
    result = run("--since", "90d")
    assert result.exit_code == 0
    assert "last 30 days only" in result.stderr


@pytest.mark.parametrize("age", ["3", "d", "3w", "-3d", "2026-11-20", "yesterday", ""])
def test_invalid_age_is_refused(run: RunBackfill, age: str) -> None:
    assert run("--since", age).exit_code == 2


def test_missing_stripe_key_is_named(run: RunBackfill) -> None:
    result = run("--since", "1h", STRIPE_API_KEY="")
    assert result.exit_code == 2
    assert "STRIPE_API_KEY" in result.stderr


def test_web_process_needs_no_stripe_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    assert load().stripe_api_key == ""
    monkeypatch.delenv("LIVEMODE")
    with pytest.raises(ConfigError):
        load()
