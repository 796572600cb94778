"""Everything the fake remembers: Stripe objects as the API shows them, in memory, behind one lock."""

import secrets
import string
import threading
from collections.abc import Callable
from typing import Any

from .errors import missing_resource

Object = dict[str, Any]

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Store:
    """Objects by kind (their `object` member) and id, in the order of their creation.

    Whoever reads or changes objects holds `lock`; `changed` shares it and is notified after each change.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._objects: dict[str, dict[str, Object]] = {}
        self.line_items: dict[str, list[Object]] = {}  # by session id
        self.session_params: dict[str, Object] = {}  # what each session was created with
        self.numbers: dict[str, str] = {}  # card number or IBAN, which no answer shows, by payment method id
        self.locations: dict[str, str] = {}  # the country that the customer has picked on the page, by session id

    def add(self, obj: Object) -> Object:
        with self.changed:
            self._objects.setdefault(obj["object"], {})[obj["id"]] = obj
            self.changed.notify_all()
        return obj

    def get(self, kind: str, object_id: str, param: str = "id") -> Object:
        found = self._objects.get(kind, {}).get(object_id)
        if found is None:
            raise missing_resource(kind, object_id, param)
        return found

    def remove(self, kind: str, object_id: str) -> None:
        self.get(kind, object_id)
        del self._objects[kind][object_id]

    def all(self, kind: str) -> list[Object]:
        """Newest first, as Stripe lists them."""
        return list(reversed(self._objects.get(kind, {}).values()))

    def find(self, object_id: str) -> Object | None:
        """An object of any kind, for `expand` and the control API."""
        return next((kind[object_id] for kind in self._objects.values() if object_id in kind), None)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout)
