"""The store of Stripe's objects, as the API shows them, in memory and behind one lock."""

import secrets
import string
import threading
from collections.abc import Callable
from typing import Any

from .errors import missing_resource

Object = dict[str, Any]

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """Return a random id with this prefix, like `evt_…`."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _is_in_use(obj: Object) -> bool:
    return bool(obj.get("status") == "open" or obj.get("pending_webhooks"))


class Store:
    """Objects by kind (their `object` field) and id, in the order of their creation.

    Hold `lock` to read or change objects. `changed` shares the lock; new objects and delivery attempts notify it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._objects: dict[str, dict[str, Object]] = {}
        self.line_items: dict[str, list[Object]] = {}  # by session id
        self.session_params: dict[str, Object] = {}  # the parameters that created it, by session id
        self.numbers: dict[str, str] = {}  # card number or IBAN, by payment method id
        self.countries: dict[str, str] = {}  # the customer's choice on the payment page, by session id
        self.coupon_products: dict[str, list[str]] = {}  # the products that a coupon is for, by coupon id

    def add(self, obj: Object) -> Object:
        """Add an object, or replace the one with its id, and return it."""
        with self.changed:
            self._objects.setdefault(obj["object"], {})[obj["id"]] = obj
            self.changed.notify_all()
        return obj

    def get(self, kind: str, object_id: str, param: str = "id") -> Object:
        """Return an object. Raise `StripeError` (404) if it does not exist; the error names `param`."""
        found = self._objects.get(kind, {}).get(object_id)
        if found is None:
            raise missing_resource(kind, object_id, param)
        return found

    def remove(self, kind: str, object_id: str) -> None:
        """Remove an object. Raise `StripeError` (404) if it does not exist."""
        self.get(kind, object_id)
        del self._objects[kind][object_id]

    def forget(self, before: float) -> list[str]:
        """Remove the objects created before this Unix time, and return the ids of the events among them.

        Open sessions stay, and so do events that an endpoint still has to accept.
        """
        forgotten: list[str] = []
        with self.lock:
            for kind, objects in self._objects.items():
                ids = [key for key, each in objects.items() if each["created"] < before and not _is_in_use(each)]
                forgotten += ids if kind == "event" else ()
                for object_id in ids:
                    del objects[object_id]
                    self._forget_about(object_id)
        return forgotten

    def _forget_about(self, object_id: str) -> None:
        for about in (self.line_items, self.session_params, self.numbers, self.countries, self.coupon_products):
            about.pop(object_id, None)

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind, newest first, as Stripe lists them."""
        return list(reversed(self._objects.get(kind, {}).values()))

    def find(self, object_id: str) -> Object | None:
        """Return the object with this id, of any kind, or None."""
        return next((kind[object_id] for kind in self._objects.values() if object_id in kind), None)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds. Return False after `timeout` seconds."""
        with self.changed:
            return self.changed.wait_for(condition, timeout)
