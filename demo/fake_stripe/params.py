"""How a parameter is read: each kind turns form strings into values, or raises Stripe's error for it."""

import re
from collections.abc import Callable
from typing import Any

from .errors import StripeError

Kind = Callable[[Any, str], Any]  # (raw value, the parameter's full name) -> value

CURRENCY = re.compile(r"[a-zA-Z]{3}")


def _invalid(message: str, name: str, code: str | None = None) -> StripeError:
    return StripeError(message, code=code, param=name)


def text(maximum: int = 5000) -> Kind:
    def read(raw: Any, name: str) -> str:
        if not isinstance(raw, str):
            raise _invalid("Invalid string: must be a single value", name)
        if raw == "":
            raise _invalid(
                f"An empty string was passed for '{name}'; leave it out to unset it.", name, "parameter_invalid_empty"
            )
        if len(raw) > maximum:
            raise _invalid(f"Invalid string: {name} must be at most {maximum} characters", name)
        return raw

    return read


def integer(minimum: int | None = None, maximum: int | None = None) -> Kind:
    def read(raw: Any, name: str) -> int:
        if not isinstance(raw, str) or not re.fullmatch(r"-?\d+", raw):
            raise _invalid(f"Invalid integer: {raw}", name, "parameter_invalid_integer")
        value = int(raw)
        if minimum is not None and value < minimum:
            raise _invalid(f"This value must be greater than or equal to {minimum}.", name, "parameter_invalid_integer")
        if maximum is not None and value > maximum:
            raise _invalid(f"This value must be less than or equal to {maximum}.", name, "parameter_invalid_integer")
        return value

    return read


def flag(raw: Any, name: str) -> bool:
    if raw not in ("true", "false"):
        raise _invalid(f"Invalid boolean: {raw}", name)
    return bool(raw == "true")


def number(raw: Any, name: str) -> float:
    try:
        return float(raw)
    except (TypeError, ValueError):
        raise _invalid(f"Invalid decimal: {raw}", name) from None


def currency(raw: Any, name: str) -> str:
    if not isinstance(raw, str) or not CURRENCY.fullmatch(raw):
        raise _invalid(f"Invalid currency: {raw}", name)
    return raw.lower()


def email(raw: Any, name: str) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", raw):
        raise _invalid(f"Invalid email address: {raw}", name, "email_invalid")
    return raw


def url(raw: Any, name: str) -> str:
    if not isinstance(raw, str) or not re.match(r"https?://[^/\s]+", raw):
        raise _invalid("Not a valid URL", name, "url_invalid")
    return raw


def one_of(*values: str) -> Kind:
    def read(raw: Any, name: str) -> str:
        if raw not in values:
            raise _invalid(f"Invalid {name}: must be one of {', '.join(values)}", name)
        return str(raw)

    return read


def metadata(raw: Any, name: str) -> dict[str, str]:
    if raw == "":
        return {}
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise _invalid("Invalid metadata: must be a map of strings", name)
    for key, value in raw.items():
        if len(key) > 40 or len(value) > 500:
            raise _invalid("Metadata keys have at most 40 characters, values at most 500", f"{name}[{key}]")
    if len(raw) > 50:
        raise _invalid("Metadata can have up to 50 keys", name)
    return dict(raw)


def list_of(kind: Kind, maximum: int = 100) -> Kind:
    def read(raw: Any, name: str) -> list[Any]:
        if raw == "":
            return []
        if not isinstance(raw, list):
            raise _invalid("Invalid array", name)
        if len(raw) > maximum:
            raise _invalid(f"Array {name} can have at most {maximum} items", name)
        return [kind(item, f"{name}[{position}]") for position, item in enumerate(raw)]

    return read


def either(on_mapping: Kind, otherwise: Kind) -> Kind:
    """A parameter that may be an object or a plain value, like `created` in lists."""

    def read(raw: Any, name: str) -> Any:
        return (on_mapping if isinstance(raw, dict) else otherwise)(raw, name)

    return read


def map_of(kind: Kind) -> Kind:
    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise _invalid("Invalid object", name)
        return {key: kind(value, f"{name}[{key}]") for key, value in raw.items()}

    return read


def clearable(kind: Kind) -> Kind:
    """Updates unset a field by an empty string."""
    return lambda raw, name: None if raw == "" else kind(raw, name)


def anything(raw: Any, _name: str) -> Any:
    return raw


def record(required: tuple[str, ...] = (), /, **fields: Kind) -> Kind:
    """An object with exactly these fields; the ones left out are absent from the result."""

    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise _invalid("Invalid object", name)
        full = {field: f"{name}[{field}]" if name else field for field in {*raw, *required}}
        for field in raw:
            if field not in fields:
                message = f"Received unknown parameter: {full[field]}"
                raise _invalid(message, full[field], "parameter_unknown")
        for field in required:
            if field not in raw:
                message = f"Missing required param: {full[field]}."
                raise _invalid(message, full[field], "parameter_missing")
        return {field: fields[field](value, full[field]) for field, value in raw.items()}

    return read
