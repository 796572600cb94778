"""Faults at will: what is to go wrong next, asked for through the control API."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from .errors import StripeError

KINDS = {
    "drop": "the event is made but not delivered (`acknowledged`: it counts as delivered)",
    "never_made": "what happened makes no event at all",
    "duplicate": "delivered `copies` times more",
    "twin": "a second event, with its own id, describes the same change",
    "delay": "delivered `seconds` later",
    "reorder": "`count` events are held back and then delivered in reverse order, at the latest after `seconds`",
    "corrupt_signature": "the signature of an attempt does not match",
    "api_500": "a call is answered by 500 (`performed`: after it has been carried out)",
    "api_timeout": "a call is answered only after `seconds` (`performed`: carried out at once, which is the default)",
}


@dataclass
class Fault:
    kind: str
    count: int = 0  # how many times it still applies; 0 stands for the kind's default
    nth: int = 1  # counted among what matches: the first time it applies
    type: str = "*"  # of event, a pattern like "checkout.session.*"
    path: str = "/v1/*"  # of API call, a pattern
    method: str = "*"
    seconds: float = 5.0
    copies: int = 1
    acknowledged: bool = False
    performed: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise StripeError(f"Unknown kind of fault: {self.kind}; known are {', '.join(KINDS)}", param="kind")
        self.count = self.count or (2 if self.kind == "reorder" else 1)
        if self.performed is None:
            self.performed = self.kind == "api_timeout"


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: list[Fault] = []

    def add(self, **wanted: Any) -> Fault:
        known = {field.name for field in fields(Fault)}
        if unknown := sorted(set(wanted) - known):
            raise StripeError(f"A fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        if "kind" not in wanted:
            raise StripeError(f"A fault needs a kind: {', '.join(KINDS)}", param="kind")
        fault = Fault(**wanted)
        with self._lock:
            self._queued.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._queued.clear()

    def queued(self) -> list[Fault]:
        with self._lock:
            return list(self._queued)

    def take(self, kind: str, event_type: str) -> Fault | None:
        """The fault of this kind that applies to this event now, if any; it is used up by that."""
        return self._take(lambda fault: fault.kind == kind and fnmatchcase(event_type, fault.type))

    def take_for_call(self, method: str, path: str) -> Fault | None:
        def applies(fault: Fault) -> bool:
            meant = fault.kind in ("api_500", "api_timeout")
            return meant and fnmatchcase(path, fault.path) and fnmatchcase(method, fault.method.upper())

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
