"""The watermark of the backfill: how far it has come, kept as the newest message of a queue in RabbitMQ.

The ingest has no database. And the watermark must not outlive what it vouches for: if the broker loses its data, the
watermark is lost with the events, and the next run covers the full window.

A crash at any line leaves the old watermark or the new one. Two runs at the same time may both write. Each watermark is
true by itself, because each run began at a true one, so it does not matter which of them stays.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from amqp.exceptions import AMQPError
from events.clock import utcnow
from events.messaging import kombu_connection, topology
from events.messaging.event import Event, new_id
from events.messaging.publisher import Publisher
from events.observability.logging import get_logger
from kombu import Queue
from kombu.exceptions import OperationalError

from webhooks.backfill import publish_with_retries

OVERLAP = timedelta(minutes=5)  # listed again by the next run: Stripe's list may show an event late
FULL_WINDOW = timedelta(days=3)  # without a watermark: as long as Stripe itself retries a webhook
CONNECT_TIMEOUT_S = 30  # for one of the broker's nodes
BROKER_ERRORS = (OSError, OperationalError, AMQPError)  # of `read_watermark`
READ_ATTEMPTS, READ_PAUSE_S = 5, 0.2  # while another run holds the message, the queue looks empty for milliseconds

log = get_logger(__name__)


@dataclass(frozen=True)
class Watermark:
    """All events of these types, of this mode, created before `reached` are published."""

    reached: datetime
    types: frozenset[str]
    livemode: bool

    def to_event(self) -> Event:
        """Return the message that keeps the watermark."""
        body = {"reached": int(self.reached.timestamp()), "types": sorted(self.types), "livemode": self.livemode}
        return Event(new_id(), topology.WATERMARK_KEY, "webhooks", utcnow(), orjson.dumps(body))


def read_watermark(broker_url: str) -> Watermark | None:
    """Return the stored watermark, or None. The message stays in the queue.

    Raises one of `BROKER_ERRORS` if the broker is away or the queue does not exist.
    """
    with kombu_connection.connect(broker_url) as connection, kombu_connection.dropped_on_error(connection):
        connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT_S)
        queue = Queue(topology.WATERMARK, channel=connection.default_channel, no_declare=True)
        for _ in range(READ_ATTEMPTS):
            if body := _read_newest(queue):
                return _parse(body)
            time.sleep(READ_PAUSE_S)
    return None


def write_watermark(broker: Publisher, watermark: Watermark) -> None:
    """Replace the stored watermark. Raises `PublishUnconfirmedError` if the broker does not confirm it."""
    publish_with_retries(broker, watermark.to_event())


def window_start(watermark: Watermark | None, now: datetime, types: Sequence[str], *, livemode: bool) -> datetime:
    """Return where the next run must begin.

    That is an overlap before the watermark, or `FULL_WINDOW` ago without a watermark that can be used. A watermark
    in the future was written by a wrong clock. One without all types or of the other mode vouches for too little.
    """
    if (
        watermark is None
        or watermark.livemode is not livemode
        or not watermark.types >= set(types)
        or watermark.reached > now + OVERLAP
    ):
        return now - FULL_WINDOW
    return min(watermark.reached, now) - OVERLAP


def _read_newest(queue: Any) -> bytes | None:
    """Return the body of the queue's newest message, or None. Older ones, which `memory://` keeps, are removed."""
    newest = queue.get(no_ack=False)
    if newest is None:
        return None
    while later := queue.get(no_ack=False):
        newest.ack()
        newest = later
    newest.requeue()
    body = newest.body
    return body.encode() if isinstance(body, str) else bytes(body)


def _parse(body: bytes) -> Watermark | None:
    """Return the watermark in a message; None if this release cannot read it."""
    try:
        document = orjson.loads(body)
        reached = datetime.fromtimestamp(document["reached"], UTC)
        return Watermark(reached, frozenset(document["types"]), document["livemode"] is True)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        log.error("the stored watermark cannot be read: the next run covers the full window", error=repr(error))
        return None
