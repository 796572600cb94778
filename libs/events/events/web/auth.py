"""Bearer tokens: a named one for each operator, and one for the other services."""

import hmac
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import current_app, g, request

from events.web.problems import Problem

P = ParamSpec("P")
R = TypeVar("R")


def operator_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require an operator's token for a view and set `g.actor` to the token's name."""
    return _required(view, lambda: current_app.extensions["clozit.config"].operator_tokens)


def service_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require the service token for a view."""
    return _required(view, lambda: {"service": current_app.extensions["clozit.config"].service_token})


def is_service(token: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that says if a WSGI request has the service token."""
    expected = f"Bearer {token}".encode()

    def check(environ: Mapping[str, Any]) -> bool:
        return bool(token) and hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", "").encode(), expected)

    return check


def _required(view: Callable[P, R], tokens: Callable[[], Mapping[str, str]]) -> Callable[P, R]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.actor = _holder(tokens())
        return view(*args, **kwargs)

    return guarded


def _holder(tokens: Mapping[str, str]) -> str:
    """Return the name of the request's token. Every token is compared, each in constant time."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    names = [name for name, token in tokens.items() if token and hmac.compare_digest(token.encode(), given.encode())]
    if scheme.lower() != "bearer" or not names:
        raise Problem(
            401,
            "unauthorized",
            "Send a valid token as 'Authorization: Bearer <token>'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return names[0]
