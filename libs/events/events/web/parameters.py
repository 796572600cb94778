"""The check of every request's path and query: only documented parameters, each once unless it is a list, no NUL."""

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

from flask import Flask, current_app, request

from events.web.problems import NUL_ERROR, invalid_request

PATH_PARAMETER = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")  # Flask's, with or without a converter
View = TypeVar("View", bound=Callable[..., Any])
# Query parameters by path and method of the OpenAPI document: by name, True for a list, which may be repeated.
Parameters = Mapping[tuple[str, str], Mapping[str, bool]]

MAX_NAMED = 20  # unknown parameters in an answer: a query has room for thousands
REPEATED_ERROR = "Send this parameter once."  # a route would silently take one of its values


def register(app: Flask, openapi: Mapping[str, Any]) -> None:
    """Check all requests of the app, except the queries of views under `ignores_query`.

    Routes that the OpenAPI document does not have accept no query parameter.
    """
    known = _query_parameters(openapi)
    app.before_request(lambda: _check(known))


def ignores_query(view: View) -> View:
    """Mark a view whose query is not checked, because probes or mail programs append parameters of their own."""
    view.__dict__["ignores_query"] = True
    return view


def _check(known: Parameters) -> None:
    current = request._get_current_object()  # type: ignore[attr-defined]  # looked up once
    if current.url_rule is None or current.method == "OPTIONS":  # a 404 or 405, or a preflight request
        return
    for name, value in (current.view_args or {}).items():
        if "\0" in value:
            raise invalid_request(**{name: [NUL_ERROR]})
    if not current.query_string or hasattr(current_app.view_functions[current.endpoint or ""], "ignores_query"):
        return
    method = "get" if current.method == "HEAD" else current.method.lower()
    names = known.get((PATH_PARAMETER.sub(r"{\1}", current.url_rule.rule), method), {})
    unknown = islice((name for name in current.args if name not in names), MAX_NAMED)
    errors = {name: [_unknown([*names])] for name in unknown}
    errors |= {
        name: [REPEATED_ERROR] for name, is_list in names.items() if not is_list and len(current.args.getlist(name)) > 1
    }
    errors |= {name: [NUL_ERROR] for name in names if any("\0" in value for value in current.args.getlist(name))}
    if errors:
        raise invalid_request(**errors)


def _unknown(names: list[str]) -> str:
    return f"Unknown parameter. Use one of: {', '.join(names)}." if names else "This route has no query parameters."


def _query_parameters(openapi: Mapping[str, Any]) -> Parameters:
    return {
        (path, method): {
            each["name"]: each.get("schema", {}).get("type") == "array"
            for each in operation.get("parameters", [])
            if each["in"] == "query"
        }
        for path, operations in openapi.get("paths", {}).items()
        for method, operation in operations.items()
        if isinstance(operation, dict)
    }
