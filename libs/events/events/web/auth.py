"""Bearer tokens: a named one for each operator, and one for the other services."""

import hmac
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import current_app, g, request

from events.config import Common
from events.web.problems import Problem

OPERATOR, SERVICE = "an operator's token", "the service token"
REFUSED_CHALLENGE = 'Bearer error="invalid_token"'  # RFC 6750: a request without a token gets no error code

P = ParamSpec("P")
R = TypeVar("R")


def operator_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require an operator's token for a view and set `g.actor` to the token's name. Answer 401 without one."""
    return _required(view, OPERATOR)


def service_required(view: Callable[P, R]) -> Callable[P, R]:
    """Require the service token for a view. Answer 401 without it."""
    return _required(view, SERVICE)


def make_service_check(token: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that says whether a WSGI request has the service token. An empty `token` matches no request."""
    expected = f"Bearer {token}".encode()

    def check(environ: Mapping[str, Any]) -> bool:
        return bool(token) and hmac.compare_digest(environ.get("HTTP_AUTHORIZATION", "").encode(), expected)

    return check


def _required(view: Callable[P, R], kind: str) -> Callable[P, R]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.actor = _holder(kind)
        return view(*args, **kwargs)

    return guarded


def _holder(kind: str) -> str:
    """Return the name of the request's token. Raises `Problem` 401 if it is not of this kind.

    Every token is compared, each in constant time.
    """
    config: Common = current_app.extensions["clozit.config"]
    tokens = [(OPERATOR, name, token) for name, token in config.operator_tokens.items()]
    tokens.append((SERVICE, "service", config.service_token))
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    found = [
        (its_kind, name)
        for its_kind, name, token in tokens
        if hmac.compare_digest(token.encode(), given.encode()) and token
    ]
    if scheme.lower() != "bearer" or not given:
        raise _unauthorized(f"This route needs {kind}. Send it as 'Authorization: Bearer <token>'.", "Bearer")
    names = [name for its_kind, name in found if its_kind == kind]
    if names:
        return names[0]
    if found:
        raise _unauthorized(f"This token is {found[0][0]}. This route needs {kind}.", REFUSED_CHALLENGE)
    raise _unauthorized(f"This token is unknown. Check it: this route needs {kind}.", REFUSED_CHALLENGE)


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})
