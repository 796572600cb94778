"""The parameter `expand`, which replaces ids in an answer by their objects."""

import copy
from typing import Any

from .errors import StripeError
from .pagination import paginate
from .store import Object, Store


def expand(store: Store, answer: Object, paths: list[str]) -> Object:
    """Return a copy of the answer with the objects at these paths. Raise `StripeError` for an unknown path."""
    answer = copy.deepcopy(answer)
    for path in paths:
        _expand(store, answer, path.split("."), path)
    return answer


def list_line_items(store: Store, session: Object, params: Object) -> Object:
    """Return one page of a session's lines."""
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return paginate(store.line_items[session["id"]], params, url)


def _expand(store: Store, value: Any, steps: list[str], path: str) -> None:
    if isinstance(value, list):
        for item in value:
            _expand(store, item, steps, path)
        return
    if not steps or value is None:
        return
    _replace(store, value, steps[0], path)
    _expand(store, value[steps[0]], steps[1:], path)


def _replace(store: Store, value: Object, step: str, path: str) -> None:
    if step == "line_items" and value.get("object") == "checkout.session":
        value.setdefault(step, copy.deepcopy(list_line_items(store, value, {})))
        return
    if step == "applies_to" and (products := store.coupon_products.get(value.get("id", ""))):
        value[step] = {"products": list(products)}
    if step not in value:
        message = f"This property cannot be expanded ({path})."
        raise StripeError(message, param="expand")
    if isinstance(value[step], str) and (found := store.find(value[step])):
        value[step] = copy.deepcopy(found)
