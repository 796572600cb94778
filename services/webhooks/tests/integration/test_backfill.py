"""Backfill: events whose webhooks were lost are listed at Stripe and published. Duplicates are harmless."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
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
        self.is_unconfirmed: Callable[[Event], bool] = lambda _event: False

    def publish(self, event: Event) -> "Future[None]":
        future: Future[None] = Future()
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
def fake() -> Iterator[FakeStripe]:
    """A fake Stripe without webhook endpoints: every webhook is lost."""
    with FakeStripe(followup_delay=3600, sepa_delay=3600) as running:
        yield running


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


def stripe_event_ids(fake: FakeStripe, pattern: str = "*") -> list[str]:
    """Return the ids of Stripe's events, the newest first."""
    return [event["id"] for event in fake.events(pattern)[::-1]]


def summary(result: Result) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(result.stdout)
    return loaded


def test_lost_events_are_each_published_once(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    checkout_ids = buy(3)
    result = run("--since", "1h")
    assert result.exit_code == 0, result.output
    assert broker.ids == stripe_event_ids(fake)
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


def test_more_types_than_stripe_lists_are_refused(run: RunBackfill) -> None:
    result = run("--since", "1h", "--types", ",".join(f"a.b{number}" for number in range(21)))
    assert result.exit_code == 2
    assert "at most 20 types" in result.stderr


def test_dry_run_publishes_nothing_and_needs_no_broker(
    buy: Buy, run: RunBackfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy(1)
    monkeypatch.setattr(publisher, "connect", lambda _url, **_options: pytest.fail("connected to the broker"))
    counts = summary(run("--since", "1h", "--dry-run"))
    assert counts["listed"] > 0
    assert (counts["published"], counts["dry_run"]) == (0, True)


def test_all_pages_are_published(fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill) -> None:
    buy(60)
    assert len(fake.events()) > 2 * backfill.PAGE_SIZE
    assert run("--since", "1h").exit_code == 0
    assert broker.ids == stripe_event_ids(fake)


def test_unconfirmed_event_stops_the_run_which_can_continue(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill, slept: list[float]
) -> None:
    buy(2)
    ids = stripe_event_ids(fake)
    broker.is_unconfirmed = lambda event: event.id == ids[3]
    result = run("--since", "1h", "--rate", "1000000")
    assert result.exit_code == 1
    assert broker.ids == ids[:3]
    assert [pause for pause in slept if pause >= min(backfill.RETRY_DELAYS_S)] == list(backfill.RETRY_DELAYS_S)
    assert (summary(result)["complete"], summary(result)["resume_after"]) == (False, ids[2])

    broker.is_unconfirmed = lambda _event: False
    hint = result.stderr.rpartition("Continue with: python -m webhooks backfill ")[2].split()
    assert hint[-2:] == ["--starting-after", ids[2]]
    assert run(*hint).exit_code == 0
    assert broker.ids == ids


def test_event_unconfirmed_twice_is_published_by_a_retry(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    answers = iter([True, True])
    broker.is_unconfirmed = lambda _event: next(answers, False)
    assert run("--since", "1h").exit_code == 0
    assert broker.ids == stripe_event_ids(fake)


def test_interrupted_run_prints_how_to_continue(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    ids = stripe_event_ids(fake)

    def interrupt(event: Event) -> bool:
        if event.id == ids[2]:
            raise KeyboardInterrupt
        return False

    broker.is_unconfirmed = interrupt
    result = run("--since", "1h", "--types", "charge.succeeded,payment_intent.succeeded,checkout.session.completed")
    assert result.exit_code == 1
    assert "interrupted" in result.stderr
    assert "--types charge.succeeded,payment_intent.succeeded,checkout.session.completed" in result.stderr
    assert result.stderr.endswith(f" --starting-after {ids[1]}\n")
    assert broker.closed


def test_stripe_outage_prints_how_to_continue(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy(60)
    monkeypatch.setattr(stripe_api, "MAX_RETRIES", 0)
    fake.add_fault("api_500", path="/v1/events", nth=2)
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert broker.ids == stripe_event_ids(fake)[:100]
    assert f"--starting-after {broker.ids[-1]}" in result.stderr


@pytest.mark.parametrize("refusal", ["api_401", "api_403"])
def test_refused_key_is_logged_and_says_what_to_do(fake: FakeStripe, run: RunBackfill, refusal: str) -> None:
    fake.add_fault(refusal, path="/v1/events")
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert "Set STRIPE_API_KEY to a valid key that has the needed rights." in result.stderr
    [logged] = [json.loads(line) for line in result.stderr.splitlines() if "stripe refused the API key" in line]
    assert (logged["level"], logged["action"], logged["http_status"]) == ("error", "backfill", int(refusal[-3:]))


def test_events_of_the_other_mode_are_skipped(buy: Buy, broker: RecordingPublisher, run: RunBackfill) -> None:
    buy(1)
    result = run("--since", "1h", LIVEMODE="true")
    assert (result.exit_code, broker.events) == (0, [])
    assert summary(result)["skipped_livemode"] == summary(result)["listed"] > 0
    assert "other mode" in result.stderr


def test_malformed_event_is_named_and_the_others_published(
    fake: FakeStripe, buy: Buy, broker: RecordingPublisher, run: RunBackfill
) -> None:
    buy(1)
    malformed = fake.events()[1]
    malformed["data"] = {}
    result = run("--since", "1h")
    assert result.exit_code == 1
    assert summary(result)["malformed"] == [malformed["id"]]
    assert broker.ids == [event_id for event_id in stripe_event_ids(fake) if event_id != malformed["id"]]


def test_rate_limits_the_events_per_second(
    buy: Buy, broker: RecordingPublisher, run: RunBackfill, slept: list[float]
) -> None:
    buy(1)
    run("--since", "1h", "--rate", "0.5")
    count = len(broker.events)  # the clock does not move: each pause is two seconds longer than the one before
    assert slept == pytest.approx([2 * number for number in range(1, count)], abs=1)


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
