"""Events in the shapes of older API versions, which endpoints keep until they are upgraded.

An event keeps the version of its creation, also when it is listed later. The API itself answers in the current version.

Sources: docs.stripe.com/changelog, at 2025-03-31 (`shipping_details` removed), 2025-02-24 (`collected_information`
added), 2024-10-28 (events of refunds), 2022-11-15 (`refunds` of charges removed) and 2022-08-01 (`shipping` and
`shipping_rate` renamed).
"""

import copy
from collections.abc import Callable

from .store import Object, Store

CURRENT = "2026-10-28.endive"


def has_event(version: str, type_: str, previous: Object | None) -> bool:
    """Return True if an endpoint with this version gets such an event. `previous` are the changed fields' old values.

    Before 2024-10-28, refunds have only the event `charge.refund.updated`, when their status changes.
    """
    if version >= "2024-10-28":
        return True
    return "status" in (previous or {}) if type_ == "charge.refund.updated" else not type_.startswith("refund.")


def render(store: Store, obj: Object, version: str) -> Object:
    """Return a copy of an object as this version shows it."""
    shown = copy.deepcopy(obj)
    for before, kind, change in _CHANGES:
        if version < before and shown["object"] == kind:
            change(store, shown)
    return shown


def _add_shipping_details(_store: Store, session: Object) -> None:
    """Show the address in the old field. For some weeks both exist, and the new one can be null."""
    collected = session["collected_information"] or {}
    session["shipping_details"] = collected.get("shipping_details")
    session["collected_information"] = {**collected, "shipping_details": None}


def _remove_collected_information(_store: Store, session: Object) -> None:
    del session["collected_information"]


def _list_refunds(store: Store, charge: Object) -> None:
    refunds = [copy.deepcopy(one) for one in store.all("refund") if one["charge"] == charge["id"]]
    url = f"/v1/charges/{charge['id']}/refunds"
    charge["refunds"] = {"object": "list", "data": refunds, "has_more": False, "total_count": len(refunds), "url": url}


def _rename_shipping(_store: Store, session: Object) -> None:
    session["shipping"] = session.pop("shipping_details")
    session["shipping_rate"] = (session.pop("shipping_cost") or {}).get("shipping_rate")


_CHANGES: tuple[tuple[str, str, Callable[[Store, Object], None]], ...] = (  # the newest first
    ("2025-03-31", "checkout.session", _add_shipping_details),
    ("2025-02-24", "checkout.session", _remove_collected_information),
    ("2022-11-15", "charge", _list_refunds),
    ("2022-08-01", "checkout.session", _rename_shipping),
)
