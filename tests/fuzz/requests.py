"""The requests of the fuzzer, for all routes of all services, made from the OpenAPI documents."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from events.testing.stripe import charge, checkout_session, payment_intent, sign, stripe_event

from tests.fuzz.values import Values

HOSTILITIES = (0.0, 0.05, 0.3)  # the probability that one part of a request is hostile; each request has one of them
HIDDEN = {  # routes that the OpenAPI documents do not have
    "notifications": [("GET", "/unsubscribe/{token}"), ("POST", "/unsubscribe/{token}")],
}
HIDDEN_IN_ALL = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/{any}"),
]
STRIPE_OBJECTS = {
    "checkout.session.completed": checkout_session,
    "checkout.session.expired": checkout_session,
    "payment_intent.succeeded": payment_intent,
    "charge.updated": charge,
}
HEADERS = ("X-Request-ID", "Accept-Language", "traceparent", "Origin", "Accept", "Cookie", "X-Forwarded-For", "Host")


@dataclass(frozen=True)
class Operation:
    """A route and method of a service, with the schemas of its parameters and body."""

    service: str
    method: str
    path: str
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.service} {self.method} {self.path}"


@dataclass(frozen=True)
class Request:
    """A request that can be sent as it is."""

    operation: Operation
    target: str  # the percent-encoded path and query
    headers: Mapping[str, str]
    body: bytes | None


def operations(service: str, document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield the operations of a service, from its OpenAPI document, and its hidden ones."""
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
            parameters = [_resolved(each, document) for each in item[method].get("parameters", [])]
            query = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
            content = item[method].get("requestBody", {}).get("content", {})
            body = next((_resolved(each["schema"], document) for each in content.values()), None)
            yield Operation(service, method.upper(), path, query, body)
    for method, path in [*HIDDEN_IN_ALL, *HIDDEN.get(service, [])]:
        yield Operation(service, method, path)


def _resolved(value: Any, document: Mapping[str, Any]) -> Any:
    """Return a part of an OpenAPI document with its references replaced. No schema of a request contains itself."""
    if isinstance(value, list):
        return [_resolved(each, document) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        found: Any = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return _resolved(found, document)
    return {name: _resolved(each, document) for name, each in value.items()}


class RequestMaker:
    """Makes requests with seeded values and the tokens of the system."""

    def __init__(
        self, values: Values, every: Sequence[Operation], tokens: Mapping[str, str], webhook_secret: str
    ) -> None:
        self.values, self._every, self._tokens, self._webhook_secret = values, every, tokens, webhook_secret

    def make(self) -> Request:
        """Return the next request."""
        values, operation = self.values, self.values.random.choice(self._every)
        values.hostility = values.random.choice(HOSTILITIES)
        path = "/".join(self._segment(part) for part in operation.path.split("/"))
        headers = {**self._authorization(operation)}
        if values.chance(0.5) and operation.method != "GET":
            key = values.random.choice((f"key-{values.random.randrange(1000)}", values.text()))
            headers["Idempotency-Key"] = _header(key)
        if values.chance(values.hostility):
            headers[values.random.choice(HEADERS)] = _header(values.text())
        body = None
        if operation.path == "/webhooks/stripe":
            body = self._stripe_event()
            headers["Stripe-Signature"] = sign(body, self._webhook_secret)
            if values.chance(values.hostility):
                headers["Stripe-Signature"] = _header(values.text())
        elif operation.method != "GET" or values.chance(0.02):
            schema = operation.body
            body = values.body(values.fitting(schema) if schema else {})
        if body is not None:
            usual = not values.chance(values.hostility / 4)
            headers["Content-Type"] = "application/json" if usual else _header(values.text())
        return Request(operation, path + self._query(operation), headers, body)

    def learn(self, answer: Any) -> None:
        """Remember ids, keys and cursors of an answer, for later requests."""
        if isinstance(answer, list):
            for each in answer[:5]:
                self.learn(each)
        elif isinstance(answer, dict):
            for name, value in answer.items():
                if isinstance(value, str) and 0 < len(value) < 300:
                    known = self.values.known.setdefault("cursor" if name == "next_cursor" else name, [])
                    if len(known) < 200:
                        known.append(value)
                    else:
                        known[self.values.random.randrange(200)] = value
                else:
                    self.learn(value)

    def _segment(self, part: str) -> str:
        if not part.startswith("{"):
            return part
        name = part.strip("{}")
        known = [value for each in (name, "id", "number") for value in self.values.known.get(each, [])]
        if known and not self.values.chance(self.values.hostility):
            preferred = self.values.known.get(name) or known
            return quote(str(self.values.random.choice(self.values.random.choice((preferred, known)))), safe="")
        return _quoted(self.values.text()[:2000])

    def _query(self, operation: Operation) -> str:
        values, pairs = self.values, []
        for name, schema in operation.query.items():
            if values.chance(0.25):
                pairs.append((name, values.named(name, schema)))
        if values.chance(values.hostility / 4):
            pairs.append((values.text()[:2000], values.text()[:2000]))
        if not pairs:
            return ""
        return "?" + "&".join(f"{_quoted(name)}={_quoted(_plain(value)[:4000])}" for name, value in pairs)

    def _authorization(self, operation: Operation) -> dict[str, str]:
        kind = "service" if self.values.chance(0.5) and operation.path.startswith("/reservations") else "operator"
        if not self.values.chance(self.values.hostility / 4):
            return {"Authorization": f"Bearer {self._tokens[kind]}"}
        others = ("", "Bearer", f"Basic {self._tokens[kind]}", f"Bearer {self._tokens['service']}")
        return {"Authorization": self.values.random.choice((*others, _header(f"Bearer {self.values.text()}")))}

    def _stripe_event(self) -> bytes:
        values = self.values
        event_type = values.random.choice([*STRIPE_OBJECTS])
        checkout_id = values.random.choice(values.known.get("checkout_id", ["chk_1"]))
        stripe_object = STRIPE_OBJECTS[event_type](checkout_id)
        for name in [*stripe_object]:
            if (
                isinstance(stripe_object[name], str)
                and name not in ("id", "object")
                and values.chance(values.hostility / 2)
            ):
                stripe_object[name] = values.text()
        stripe_object["description"] = values.text()
        return values.body(stripe_event(event_type, stripe_object))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _header(text: str) -> str:
    """Return the text as far as a header can have it: one line of Latin-1."""
    return "".join(letter for letter in text if letter.isprintable() and ord(letter) < 256)[:4000].strip()
