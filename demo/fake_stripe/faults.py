"""Faults: failures that the control API queues for the next events and API calls."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from .errors import StripeError

KINDS = {
    "drop": "The event is created, but only a resend delivers it. If `acknowledged`, it counts as delivered.",
    "not_created": "No event is created for the change.",
    "duplicate": "The event is delivered `copies` more times.",
    "second_event": "A second event, with its own id, describes the same change.",
    "delay": "The event is delivered after `seconds`.",
    "reorder": "`count` events are held back and delivered in reverse order, `seconds` after the first at the latest.",
    "corrupt_signature": "`count` attempts to deliver a matching event have a wrong signature, by default one.",
    "api_500": "The API answers 500 without running the call. With `performed`, it answers 500 after running the call.",
    "api_401": "The API answers 401, as for a key that was replaced, and does not run the call.",
    "api_403": "The API answers 403, as for a key with too few rights, and does not run the call.",
    "api_429": "The API answers 429, as for too many calls in a second, and does not run the call.",
    "api_timeout": "The API runs the call and answers `seconds` later. With `performed` false, it answers 500 "
    "after `seconds`, without running the call.",
}


@dataclass
class Fault:
    """A queued fault: its kind, and the events or API calls that it applies to."""

    kind: str
    count: int = 0  # the number of times that it still applies; 0 means the kind's default
    nth: int = 1  # the fault first applies to the nth match
    type: str = "*"  # a pattern for event types, like "checkout.session.*"
    path: str = "/v1/*"  # a pattern for the paths of API calls
    method: str = "*"  # a pattern for the HTTP methods of API calls
    seconds: float = 5.0
    copies: int = 1
    acknowledged: bool = False
    performed: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise StripeError(f"Unknown kind of fault: {self.kind}. Use one of {', '.join(KINDS)}.", param="kind")
        self.count = self.count or (2 if self.kind == "reorder" else 1)
        if self.performed is None:
            self.performed = self.kind == "api_timeout"


class Faults:
    """The faults that are queued and still apply to coming events or API calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: list[Fault] = []

    def add(self, **details: Any) -> Fault:
        """Queue a fault. Raise `StripeError` for an unknown kind or field."""
        known = {field.name for field in fields(Fault)}
        if unknown := sorted(set(details) - known):
            raise StripeError(f"A fault has no {', '.join(unknown)}. Its fields are {', '.join(sorted(known))}.")
        if "kind" not in details:
            raise StripeError(f"The fault has no kind. Use one of {', '.join(KINDS)}.", param="kind")
        fault = Fault(**details)
        with self._lock:
            self._queued.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults from the queue."""
        with self._lock:
            self._queued.clear()

    def queued(self) -> list[Fault]:
        """Return the faults that still apply."""
        with self._lock:
            return list(self._queued)

    def take(self, kind: str, event_type: str) -> Fault | None:
        """Return the fault of this kind for an event of this type, if there is one, and reduce its `count` by one."""
        return self._take(lambda fault: fault.kind == kind and fnmatchcase(event_type, fault.type))

    def take_for_call(self, method: str, path: str) -> Fault | None:
        """Return the fault for this API call, if there is one, and reduce its `count` by one."""

        def applies(fault: Fault) -> bool:
            is_for_calls = fault.kind.startswith("api_")
            return is_for_calls and fnmatchcase(path, fault.path) and fnmatchcase(method, fault.method.upper())

        return self._take(applies)

    def _take(self, applies: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in filter(applies, list(self._queued)):
                if fault.nth > 1:
                    fault.nth -= 1
                    continue
                fault.count -= 1
                if fault.count == 0:
                    self._queued.remove(fault)
                return fault
        return None
