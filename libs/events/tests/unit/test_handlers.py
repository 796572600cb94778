"""The registry of handlers."""

from datetime import UTC, datetime
from typing import cast

import pytest
from events.errors import Ignored, NotYet
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from sqlalchemy.orm import Session

SESSION = cast(Session, None)  # no handler here uses it


def event(routing_key: str) -> Event:
    return Event("evt_1", routing_key, "orders", datetime(2026, 5, 4, tzinfo=UTC), b"{}")


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


def test_handlers_run_in_the_order_of_their_definition(handlers: Handlers) -> None:
    ran: list[str] = []
    handlers.on("a.b")(lambda *_: ran.append("first"))
    handlers.on("c.d", "a.b")(lambda *_: ran.append("second"))
    handlers.run(event("a.b"), SESSION)
    assert ran == ["first", "second"]


def test_event_without_a_handler_is_ignored_with_a_reason(handlers: Handlers) -> None:
    handlers.on("a.b")(lambda *_: None)
    with pytest.raises(Ignored, match="no handler"):
        handlers.run(event("a.b.c"), SESSION)


def test_error_of_a_handler_stops_the_next_one(handlers: Handlers) -> None:
    def wait(_event: Event, _session: Session) -> None:
        raise NotYet("the order")

    ran: list[str] = []
    handlers.on("a.b")(wait)
    handlers.on("a.b")(lambda *_: ran.append("after"))
    with pytest.raises(NotYet):
        handlers.run(event("a.b"), SESSION)
    assert ran == []


def test_only_keys_registered_with_unblocks_unblock(handlers: Handlers) -> None:
    handlers.on("a.b", unblocks=True)(lambda *_: None)
    handlers.on("c.d")(lambda *_: None)
    assert handlers.unblocks(event("a.b"))
    assert not handlers.unblocks(event("c.d"))


def test_registration_returns_the_unchanged_function(handlers: Handlers) -> None:
    def reserve_stock(_event: Event, _session: Session) -> None: ...

    assert handlers.on("a.b", "c.d")(reserve_stock) is reserve_stock
    assert set(handlers.keys) == {"a.b", "c.d"}
