"""Time and chance of a world: a clock that only the scheduler moves, and randomness that follows from the seed."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

from events import clock
from events.messaging import event

BEGINNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC).timestamp()


class Nature:
    """The clock and the dice of one world."""

    def __init__(self, seed: int) -> None:
        self.now = BEGINNING
        self.seed = seed
        self._chance = Random(f"{seed}/chance")  # what the services draw
        self._made = 0

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds

    def time(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now

    def utcnow(self) -> datetime:
        """Return the time as the services' clock does."""
        return datetime.fromtimestamp(self.now, UTC)

    def new_id(self) -> str:
        """Return an id in the form of a UUIDv7: the time, then a number. Ids sort by the time they were made."""
        self._made += 1
        return f"{int(self.now * 1000):012x}7{self._made:019x}"

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Rule over every source of time and chance that the code of the block uses."""
        state = random.getstate()
        ours: list[tuple[Any, str, Any]] = [
            (clock, "source", self.utcnow),
            (event, "id_source", self.new_id),
            (time, "time", self.time),  # the Stripe SDK's signature check and the fake Stripe's signatures
            (os, "urandom", self._chance.randbytes),  # uuid4
            (random, "_urandom", self._chance.randbytes),  # secrets
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
