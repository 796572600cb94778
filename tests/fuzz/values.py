"""Values for requests: some fit a JSON schema, and the others are hostile."""

import base64
import json
import random
from collections.abc import Mapping
from typing import Any

EDGES = (  # numbers around the limits of columns, clocks and parsers
    0, -1, 1, 99, 2**15, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64,
    10**30, -(10**30), 10**400, 0.1, 1.0, 1e308, -0.0, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
INSTANTS = (
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00", "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-05-04T24:00:00Z",
    "2026-05-04T10:00:00+99:99", "2026-05-04T10:00:00+23:59", "2026-05-04T10:00:60Z", "2026-05-04T10:00:00",
    "2026-05-04",
    "1970-01-01T00:00:00Z", "2026-05-04T10:00:00.123456789Z", "-2026-05-04T10:00:00Z",
)  # fmt: skip
TEXTS = (
    "", " ", "\x1f\x7f\x85", "\r\nX-Injected: 1", "\ufeff", "\uffff",
    "\U0010ffff", "\u202etxt.exe", "e\u0301" * 40, "İ", "ß", "\N{GRINNING FACE}" * 70, "x" * 256, "y" * 70_000,
    "null", "true", "0", "-0", "1e999", "NaN", "0x10", "1_000", "٣", "9" * 5000, "..", "../../etc/passwd", "%00",
    "%", "_", "\\", "'", "\"", "';--", "{0.__class__}", "{{7*7}}", "%s%n", "$1", "${x}", "<script>", "a@b",
    "é@exämple.de",
    "a@" + "b" * 300 + ".de", "@", "https://[", "https://\0", "http://user:pw@shop.example:99999/%zz", "cs_", "CL-",
    "{CHECKOUT_ID}", "{CHECKOUT_SESSION_ID}", "__proto__", "constructor",
)  # fmt: skip
CURSORS = (
    b"[]", b"[true]", b"[null]", b'["\\u0000"]', b'["\\ud800"]', b"{}", b"1", b'"a"', b"null", b"[[]]", b"[{}]",
    b"[1e30]", b"[9223372036854775808]", b"[-9223372036854775809]", b'["x","y"]', b"[" * 5000, b"\xff\xfe", b"",
    b'["2026-05-04T10:00:00","x"]', b'["0001-01-01T00:00:00+14:00","x"]', b'["9999-12-31T23:59:59-14:00","x"]',
    b'["2026-05-04T10:00:00Z","\\u0000"]', b'["2026-05-04T10:00:00Z",null]', b"[" + b"9" * 5000 + b"]",
)  # fmt: skip
UNSTORABLE = ("\0", "a\0b", "\ud800", "\udfff\ud800", "x\ud83d")  # by PostgreSQL
DEEP = (
    b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"items":' + b"[" * 40 + b"]" * 40 + b"}",
    b"[" * 1000, b"[" * 900 + b"]" * 900, b"[" + b"[]," * 100_000 + b"[]]",
)  # fmt: skip


class Values:
    """A seeded source of values. `known` has values that the services returned, by the name of their field."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.known: dict[str, list[Any]] = {}
        self.hostility = 0.0  # the probability that a part of the current request is hostile

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def text(self) -> str:
        """Return a hostile text."""
        kind = self.random.randrange(7)
        if kind == 6:
            return self.random.choice(UNSTORABLE)
        if kind == 0:
            return "".join(chr(self.random.choice((self.random.randrange(128), self.random.randrange(0x11000))))
                           for _ in range(self.random.randrange(12)))  # fmt: skip
        if kind == 1 and self.known:
            text = str(self.random.choice(self.random.choice([*self.known.values()])))
            position = self.random.randrange(len(text) + 1)
            return text[:position] + self.random.choice(("\0", "\ud800", "", "%", "x")) + text[position:]
        if kind == 2:
            return self.random.choice(INSTANTS)
        return self.random.choice(TEXTS)

    def anything(self, depth: int = 0) -> Any:
        """Return a hostile JSON value."""
        kind = self.random.randrange(9)
        if kind < 4:
            return self.text()
        if kind < 6:
            return self.random.choice(EDGES)
        if kind == 6 or depth > 3:
            return self.random.choice((None, True, False, [], {}))
        if kind == 7:
            return [self.anything(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.text(): self.anything(depth + 1) for _ in range(self.random.randrange(4))}

    def named(self, name: str, schema: Mapping[str, Any]) -> Any:
        """Return a value for a field: a known one of this name, one that fits the schema, or a hostile one."""
        if self.chance(self.hostility):
            return self.cursor() if name == "cursor" else self.anything()
        if (known := self.known.get(name)) and self.chance(0.7):
            return self.random.choice(known)
        return self.fitting(schema)

    def fitting(self, schema: Mapping[str, Any]) -> Any:
        """Return a value that mostly fits the schema, which has no references."""
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self.fitting(self.random.choice(schema[union]))
        kind = schema.get("type", "string")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        match kind:
            case "integer" | "number":
                low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
                return self.random.choice((low, high, self.random.randint(int(low), max(int(low), int(high)))))
            case "boolean":
                return self.chance(0.5)
            case "array":
                return [self.fitting(schema.get("items", {})) for _ in range(self.random.randrange(1, 3))]
            case "object":
                return self.object(schema)
            case "null":
                return None
        return self.fitting_text(schema)

    def fitting_text(self, schema: Mapping[str, Any]) -> str:
        match schema.get("format"):
            case "date-time":
                return f"20{self.random.randrange(10, 99)}-0{self.random.randrange(1, 10)}-11T10:00:00Z"
            case "email":
                return f"zoe{self.random.randrange(99)}@example.com"
        return "x" * int(schema.get("minLength", 1)) + str(self.random.randrange(100))

    def object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return an object with required, some optional, and sometimes unknown or missing fields."""
        properties = {name: each for name, each in schema.get("properties", {}).items() if not each.get("readOnly")}
        required = [name for name in schema.get("required", []) if self.chance(0.97)]
        optional = [name for name in properties if name not in required]
        if optional and self.chance(0.3):
            optional = [self.random.choice(optional)]  # some bodies want exactly one of several fields
        else:
            optional = [name for name in optional if self.chance(0.3)]
        made = {name: self.named(name, properties[name]) for name in (*required, *optional)}
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for _ in range(self.random.randrange(3)):
                key = self.random.choice(("eur", "usd", "jpy", "EUR", self.text()))
                made[key] = self.named(key, extra)
        if self.chance(self.hostility / 2):
            made[self.text()] = self.anything()
        return made

    def cursor(self) -> str:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.text()
        raw = self.random.choice(CURSORS) if kind < 3 else json.dumps([self.anything()]).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def body(self, value: Any) -> bytes:
        """Return a JSON body of the value, or one that is damaged, too deep or no JSON."""
        text = json.dumps(value).encode()  # escapes surrogates, and writes NaN
        if not self.chance(self.hostility):
            return text
        kind = self.random.randrange(8)
        if kind == 0:
            return text[: self.random.randrange(len(text) + 1)]
        if kind == 1:
            position = self.random.randrange(len(text) + 1)
            return text[:position] + self.random.randbytes(self.random.randrange(1, 4)) + text[position:]
        if kind == 2:
            return self.random.choice(DEEP)
        if kind == 3:
            return json.dumps(self.anything()).encode()
        if kind == 4:
            return self.random.choice(
                (b"", b" ", b"null", b"\xff", b"\xef\xbb\xbf{}", b"[NaN]", b"0", b'"a"', b"{}" * 3)
            )
        if kind == 5 and self.chance(0.05):
            return b'{"items": [' + b'{"sku": "x", "quantity": 1},' * 30_000 + b"{}]}"
        return text
