"""Lists: filtered, newest first, cut into pages as the API cuts them."""

from collections.abc import Callable, Iterable
from typing import Any

from .errors import missing_resource
from .state import Object

DEFAULT_LIMIT = 10
_PAGING = {"expand", "limit", "starting_after", "ending_before"}

Test = Callable[[Object, Any], bool]


def _created(obj: Object, wanted: Any) -> bool:
    at = obj["created"]
    if isinstance(wanted, int):
        return bool(at == wanted)
    tests = {"gt": at.__gt__, "gte": at.__ge__, "lt": at.__lt__, "lte": at.__le__}
    return all(tests[name](bound) for name, bound in wanted.items())


def _type(event: Object, wanted: str) -> bool:
    return event["type"] == wanted or (wanted.endswith(".*") and event["type"].startswith(wanted[:-1]))


TESTS: dict[str, Test] = {
    "created": _created,
    "type": _type,
    "types": lambda event, wanted: any(_type(event, one) for one in wanted),
    "delivery_success": lambda event, wanted: (event["pending_webhooks"] == 0) == wanted,
    "customer_details": lambda session, wanted: (session["customer_details"] or {}).get("email") == wanted.get("email"),
    "ids": lambda obj, wanted: obj["id"] in wanted,
    "coupon": lambda code, wanted: code["promotion"]["coupon"] == wanted,
}


def page(objects: Iterable[Object], params: Object, url: str) -> Object:
    """One page of objects, given newest first."""
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
    return all(TESTS[name](obj, wanted) if name in TESTS else obj[name] == wanted for name, wanted in filters.items())


def _position(objects: list[Object], object_id: str, param: str) -> int:
    for position, obj in enumerate(objects):
        if obj["id"] == object_id:
            return position
    raise missing_resource("object", object_id, param)
