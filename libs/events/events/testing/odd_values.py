"""Odd variants of Stripe's objects: each of their fields replaced by values that no documentation promises."""

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from typing import Any

ODD_VALUES: Mapping[str, Any] = {
    "null": None,
    "empty text": "",
    "long text": "x" * 70_000,
    "text of 400 characters": "ẞİ" * 200,
    "number as text": "5738",
    "huge number": 10**18,
    "negative number": -1,
    "fraction": 0.5,
    "true": True,
    "empty list": [],
    "list": [{"id": "li_1"}, "text", 7, None],
    "empty object": {},
    "object": {"address": "text", "recovery": [], "data": {}, "id": 7, "type": {}},
}

VALUES_OF_A_FIELD = 3  # a few seconds for all of Stripe's objects

Path = tuple[str | int, ...]


def odd_variants(
    obj: Mapping[str, Any], kept: Collection[str], each: int = VALUES_OF_A_FIELD
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield variants of an object: a description, and a copy with an odd value in one field, at any depth.

    Every field gets `each` of `ODD_VALUES`, and neighboring fields get different ones. With `len(ODD_VALUES)`, every
    field gets all of them. Top-level fields in `kept` stay as they are.
    """
    values = list(ODD_VALUES.items())
    for number, path in enumerate(path for path in _paths(obj) if path[0] not in kept):
        for step in range(each):
            description, value = values[(number * each + step) % len(values)]
            yield f"{'.'.join(map(str, path))}: {description}", _replaced(obj, path, value)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    members = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from _paths(member, (*path, key))


def _replaced(obj: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    copy: Any = deepcopy(dict(obj))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    result: dict[str, Any] = copy
    return result
