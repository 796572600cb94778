"""Types of parameters. Each converts a form's string into a value, or raises Stripe's error for it."""

import re
from collections.abc import Callable
from typing import Any

from ..errors import StripeError
from .countries import ALLOWED_COUNTRIES

ParamType = Callable[[Any, str], Any]  # (raw value, the parameter's full name) -> value

# Labels of letters, digits and hyphens, without hyphens at their ends.
EMAIL = re.compile(r"[^@\s]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]*[A-Za-z0-9]")
CURRENCY = re.compile(r"[a-zA-Z]{3}")


def _invalid(message: str, name: str, code: str | None = None) -> StripeError:
    return StripeError(message, code=code, param=name)


def text(maximum: int = 5000) -> ParamType:
    """Return the type of a text of at most `maximum` characters that is neither empty nor only whitespace."""

    def read(raw: Any, name: str) -> str:
        if not isinstance(raw, str):
            raise _invalid("Invalid string: must be a single value", name)
        if raw == "":
            raise _invalid(
                f"An empty string was passed for '{name}'. Leave it out to unset it.", name, "parameter_invalid_empty"
            )
        if not raw.strip():
            raise _invalid(f"'{name}' cannot be only whitespace.", name, "parameter_invalid_empty")
        if len(raw) > maximum:
            raise _invalid(f"Invalid string: {name} must be at most {maximum} characters", name)
        return raw

    return read


def integer(minimum: int | None = None, maximum: int | None = None) -> ParamType:
    """Return the type of an integer between these limits, both inclusive."""

    def read(raw: Any, name: str) -> int:
        if not isinstance(raw, str) or not re.fullmatch(r"-?[0-9]+", raw):
            raise _invalid(f"Invalid integer: {raw}", name, "parameter_invalid_integer")
        value = int(raw)
        if minimum is not None and value < minimum:
            raise _invalid(f"This value must be greater than or equal to {minimum}.", name, "parameter_invalid_integer")
        if maximum is not None and value > maximum:
            raise _invalid(f"This value must be less than or equal to {maximum}.", name, "parameter_invalid_integer")
        return value

    return read


def boolean(raw: Any, name: str) -> bool:
    """Read `true` or `false`."""
    if raw not in ("true", "false"):
        raise _invalid(f"Invalid boolean: {raw}", name)
    return bool(raw == "true")


def number(raw: Any, name: str) -> float:
    """Read a decimal number."""
    try:
        return float(raw)
    except (TypeError, ValueError):
        raise _invalid(f"Invalid decimal: {raw}", name) from None


def currency(raw: Any, name: str) -> str:
    """Read a currency's three-letter code and return it in lower case."""
    if not isinstance(raw, str) or not CURRENCY.fullmatch(raw):
        raise _invalid(f"Invalid currency: {raw}", name)
    return raw.lower()


def email(raw: Any, name: str) -> str:
    """Read an e-mail address in ASCII, of the form that Stripe accepts."""
    if not isinstance(raw, str) or not raw.isascii() or not EMAIL.fullmatch(raw):
        raise _invalid(f"Invalid email address: {raw}", name, "email_invalid")
    return raw


def url(raw: Any, name: str) -> str:
    """Read an http or https URL."""
    if not isinstance(raw, str) or not re.match(r"https?://[^/\s]+", raw) or len(raw) > 5000:
        raise _invalid("Not a valid URL", name, "url_invalid")
    return raw


def image(raw: Any, name: str) -> str:
    """Read the URL of an image: encoded, and at most 2,048 characters."""
    if not isinstance(raw, str) or not re.fullmatch(r"https?://[!-~]+", raw) or len(raw) > 2048:
        raise _invalid("Not a valid URL", name, "url_invalid")
    return raw


def coupon_id(raw: Any, name: str) -> str:
    """Read the id of a new coupon: letters, digits, underscores and hyphens."""
    if not isinstance(raw, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", raw):
        raise _invalid("Coupon ids have only letters, digits, underscores and hyphens.", name)
    return raw


def tax_code(raw: Any, name: str) -> str:
    """Read the id of a tax code, such as `txcd_20030000`. The fake does not check that it exists."""
    if not isinstance(raw, str) or not re.fullmatch(r"txcd_[0-9]{8}", raw):
        raise _invalid(f"No such tax code: '{raw}'", name, "resource_missing")
    return raw


def country(raw: Any, name: str) -> str:
    """Read the code of a country that Stripe accepts for shipping addresses."""
    if raw not in ALLOWED_COUNTRIES:
        raise _invalid(f"Invalid {name}: {raw} is not a supported country.", name)
    return str(raw)


def choice(*values: str) -> ParamType:
    """Return the type of a text that is one of these values."""

    def read(raw: Any, name: str) -> str:
        if raw not in values:
            raise _invalid(f"Invalid {name}: must be one of {', '.join(values)}", name)
        return str(raw)

    return read


def metadata(raw: Any, name: str) -> dict[str, str]:
    """Read metadata within Stripe's limits. An empty string means no metadata."""
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


def list_of(item_type: ParamType, maximum: int = 100) -> ParamType:
    """Return the type of a list with at most `maximum` items. An empty string means an empty list."""

    def read(raw: Any, name: str) -> list[Any]:
        if raw == "":
            return []
        if not isinstance(raw, list):
            raise _invalid("Invalid array", name)
        if len(raw) > maximum:
            raise _invalid(f"Array {name} can have at most {maximum} items", name)
        return [item_type(item, f"{name}[{position}]") for position, item in enumerate(raw)]

    return read


def either(object_type: ParamType, value_type: ParamType) -> ParamType:
    """Return the type of a parameter that is an object or a plain value, like `created` in lists."""

    def read(raw: Any, name: str) -> Any:
        return (object_type if isinstance(raw, dict) else value_type)(raw, name)

    return read


def map_of(item_type: ParamType) -> ParamType:
    """Return the type of an object with any keys, whose values have the type `item_type`."""

    def read(raw: Any, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise _invalid("Invalid object", name)
        return {key: item_type(value, f"{name}[{key}]") for key, value in raw.items()}

    return read


def clearable(item_type: ParamType) -> ParamType:
    """Return the type of a field that an empty string sets to None."""
    return lambda raw, name: None if raw == "" else item_type(raw, name)


def anything(raw: Any, _name: str) -> Any:
    """Return the value without a check."""
    return raw


def record(required: tuple[str, ...] = (), /, **fields: ParamType) -> ParamType:
    """Return the type of an object with these fields. Missing optional fields are absent from the result."""

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
