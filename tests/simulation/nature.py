"""Time and chance of a world: a clock that only the scheduler moves, and randomness that follows from the seed."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

from events import clock
from events.database import chunks
from events.messaging import event, outbox
from webhooks import backfill

BEGINNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC).timestamp()
SMALL_CHUNK = 3  # rows: a world has few, and the code for the next chunk must run, too
SMALL_CLAIM = 2  # rows: a world has few, and a relay must find more of them than it claims at once


class Nature:
    """The clock and the random numbers of one world. `running` returns the service whose process runs now, or None."""

    def __init__(self, seed: int, running: Callable[[], str | None]) -> None:
        self.now = BEGINNING
        self.seed = seed
        self.wrong_by: dict[str, float] = {}  # seconds, by service: its host's clock is wrong
        self._running = running
        self._chance = Random(f"{seed}/chance")  # what the services draw
        self._made = 0

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds

    def time(self) -> float:
        """Return the true time in seconds since the epoch. Stripe's clock is never wrong."""
        return self.now

    def host_time(self) -> float:
        """Return the time on the host of the process that runs now."""
        return self.now + self.wrong_by.get(self._running() or "", 0.0)

    def utcnow(self) -> datetime:
        """Return the time as the services' clock does."""
        return datetime.fromtimestamp(self.host_time(), UTC)

    def new_id(self) -> str:
        """Return an id in the form of a UUIDv7: the time, then a number. Ids sort by the time they were made."""
        self._made += 1
        return f"{int(self.now * 1000):012x}7{self._made:019x}"

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Replace every source of time and chance that the code of the block uses, and restore it afterwards."""
        state = random.getstate()
        ours: list[tuple[Any, str, Any]] = [
            (clock, "source", self.utcnow),
            (event, "id_source", self.new_id),
            (time, "time", self.host_time),  # the Stripe SDK's signature check and the fake Stripe's signatures
            (os, "urandom", self._chance.randbytes),  # uuid4
            (random, "_urandom", self._chance.randbytes),  # secrets
            (backfill, "sleep", self.advance),
            (backfill, "monotonic", self.time),
            (chunks, "CHUNK_SIZE", SMALL_CHUNK),
            (outbox, "CLAIM_BATCH_SIZE", SMALL_CLAIM),
        ]
        theirs = [(owner, name, getattr(owner, name)) for owner, name, _ in ours]
        random.seed(self.seed)  # the spread of retries
        try:
            for owner, name, value in ours:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in theirs:
                setattr(owner, name, value)
            random.setstate(state)
