"""Lists of the API: filters and pages."""

from collections.abc import Callable, Iterable
from typing import Any

from .errors import missing_resource
from .store import Object

DEFAULT_LIMIT = 10
_PAGING = {"expand", "limit", "starting_after", "ending_before"}

Filter = Callable[[Object, Any], bool]  # (object, wanted value) -> True if it matches


def _matches_created(obj: Object, wanted: Any) -> bool:
    created = obj["created"]
    if isinstance(wanted, int):
        return bool(created == wanted)
    comparisons = {"gt": created.__gt__, "gte": created.__ge__, "lt": created.__lt__, "lte": created.__le__}
    return all(comparisons[name](bound) for name, bound in wanted.items())


def _matches_type(event: Object, wanted: str) -> bool:
    return event["type"] == wanted or (wanted.endswith(".*") and event["type"].startswith(wanted[:-1]))


FILTERS: dict[str, Filter] = {  # other parameters are compared with the field of their name
    "created": _matches_created,
    "type": _matches_type,
    "types": lambda event, wanted: any(_matches_type(event, type_) for type_ in wanted),
    "delivery_success": lambda event, wanted: (event["pending_webhooks"] == 0) == wanted,
    "customer_details": lambda session, wanted: (session["customer_details"] or {}).get("email") == wanted.get("email"),
    "ids": lambda obj, wanted: obj["id"] in wanted,
    "coupon": lambda code, wanted: code["promotion"]["coupon"] == wanted,
}


def paginate(objects: Iterable[Object], params: Object, url: str) -> Object:
    """Return the page that the parameters ask for. The objects must be in the order of the list.

    Raise `StripeError` (404) if the page begins or ends at an object that the list does not have.
    """
    found = [obj for obj in objects if _matches(obj, params)]
    limit = params.get("limit", DEFAULT_LIMIT)
    if after := params.get("starting_after"):
        found = found[_position(found, after, "starting_after") + 1 :]
    if before := params.get("ending_before"):
        ahead = found[: _position(found, before, "ending_before")]
        shown, more = ahead[-limit:], len(ahead) > limit
    else:
        shown, more = found[:limit], len(found) > limit
    return {"object": "list", "data": shown, "has_more": more, "url": url}


def _matches(obj: Object, params: Object) -> bool:
    filters = {name: wanted for name, wanted in params.items() if name not in _PAGING}
    return all(
        FILTERS[name](obj, wanted) if name in FILTERS else obj[name] == wanted for name, wanted in filters.items()
    )


def _position(objects: list[Object], object_id: str, param: str) -> int:
    for position, obj in enumerate(objects):
        if obj["id"] == object_id:
            return position
    raise missing_resource("object", object_id, param)
