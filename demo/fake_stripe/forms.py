"""Stripe's form encoding, in which `a[b][0][c]=x` and `a[]=x` mean nested dicts and lists of strings."""

from collections.abc import Iterable
from typing import Any

from .errors import StripeError


def parse(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the nested values of a form's fields. Raise `StripeError` for a name that is not valid."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        _put(tree, _path(name), value, name)
    return {key: _with_lists(value) for key, value in tree.items()}


def _path(name: str) -> list[str]:
    head, bracket, rest = name.partition("[")
    if bracket and not rest.endswith("]"):
        raise StripeError(f"Invalid request parameter name: {name}", param=name)
    return [head, *rest[:-1].split("][")] if bracket else [head]


def _put(tree: dict[str, Any], path: list[str], value: str, name: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise _ambiguous(name)
    last = path[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise _ambiguous(name)
    tree[last] = value


def _ambiguous(name: str) -> StripeError:
    return StripeError(f"Invalid parameter: {name} is both a value and an object", param=name)


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    children = {key: _with_lists(child) for key, child in value.items()}
    if children and all(key.isdecimal() for key in children):
        return [children[key] for key in sorted(children, key=int)]
    return children
