"""Reads Stripe's objects before other code does, and brings each field that a service uses into a storable form.

A payment is real, however odd a detail of its event is. An odd detail is converted where its meaning is clear, such as
"5738" for 5738. A long text is clipped, and any other odd detail counts as null. Fields that no service reads are kept.
Ids and amounts decide whose money it is and how much. They are never clipped or guessed: an object with an odd one
cannot be read (`find_unreadable`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, validate

from events.database.email_keys import email_key

StripeObject = dict[str, Any]
Reader = Callable[[Any], Any]

ANY = "*"  # every field of an object that has no reader of its own
MAX_ID = 255  # characters, as Stripe documents it
MAX_CODE = 64  # characters of a status, a reason or a type
MAX_TEXT = 1000  # characters of a name, a message or a line of an address
MAX_EMAIL = 320
MAX_AMOUNT = 10**15  # minor units; Stripe's own maximum has 12 digits
MAX_INSTANT = 253_402_300_799  # the end of the year 9999 in Unix seconds
IDENTITIES = ("id", "payment_intent")
AMOUNTS = ("amount", "amount_total")

_COUNTRY = re.compile(r"[A-Za-z]{2}")
_LOCALE = re.compile(r"[A-Za-z0-9_-]{1,16}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_is_url = validate.URL(require_tld=False)  # as in the contracts of our events


def _id(value: Any) -> Any:
    """Return the id of an expanded object, null for an empty text, and any other value as it is."""
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        value = value["id"]
    return None if value == "" else value


def _text(limit: int) -> Reader:
    """Return a reader that clips a text after `limit` characters."""
    return lambda value: value[:limit] if isinstance(value, str) else None


def _matching(pattern: re.Pattern[str]) -> Reader:
    return lambda value: value if isinstance(value, str) and pattern.fullmatch(value) else None


def _key(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _email(value: Any) -> Any:
    """Return an address that can be stored in full, else null: a clipped address belongs to another person."""
    fits = isinstance(value, str) and max(len(value), len(email_key(value))) <= MAX_EMAIL
    return value if fits else None


def _url(value: Any) -> Any:
    try:
        return _is_url(value) if isinstance(value, str) and value else None
    except ValidationError:
        return None


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amount(value: Any) -> Any:
    number = _number(value)
    return number if number is not None and abs(number) <= MAX_AMOUNT else None


def _exact_amount(value: Any) -> Any:
    """Return an amount, or the odd value as it is: `find_unreadable` finds it."""
    number = _amount(value)
    return value if number is None else number


def _instant(value: Any) -> Any:
    number = _number(value)
    return number if number is not None and 0 <= number <= MAX_INSTANT else None


def _flag(value: Any) -> Any:
    if isinstance(value, str | int):
        return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    return None


def _object(**fields: Reader) -> Reader:
    return lambda value: _read(value, fields) if isinstance(value, dict) else None


def _every(reader: Reader) -> Reader:
    """Return a reader of an object that reads each of its fields with `reader`."""
    return lambda value: _read(value, {ANY: reader}) if isinstance(value, dict) else None


def _list_of(reader: Reader) -> Reader:
    """Return a reader of a list, which drops the items that cannot be read."""

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            return None
        items = [item for item in map(reader, value) if item is not None]
        is_same = len(items) == len(value) and not any(map(_differs, items, value))
        return value if is_same else items

    return read


def _movement(value: Any) -> Any:
    """Return a balance transaction; null unless it has an amount and a time."""
    found = _object(id=_text(MAX_ID), amount=_amount, created=_instant, currency=_text(MAX_CODE))(value)
    is_known = found and found.get("amount") is not None and found.get("created") is not None
    return found if is_known else None


def _listed_refund(value: Any) -> Any:
    """Return a refund that a charge lists; null if it cannot be booked.

    The charge's `amount_refunded` then exceeds what is booked, and orders fetches the refunds from Stripe.
    """
    if not isinstance(value, dict):
        return None
    found = _read(value, FIELDS)
    return None if find_unreadable(found) or not found.get("id") or found.get("amount") is None else found


_code, _line = _text(MAX_CODE), _text(MAX_TEXT)
_recipient = _object(name=_line, address=_every(_line))

FIELDS: Mapping[str, Reader] = {
    # ids and amounts, which are kept in full
    "id": _id,
    "payment_intent": _id,
    "amount": _exact_amount,
    "amount_total": _exact_amount,
    "metadata": _every(_key),
    # amounts and times beside them
    "amount_received": _amount,
    "amount_refunded": _amount,
    "amount_subtotal": _amount,
    "total_details": _object(amount_discount=_amount, amount_shipping=_amount, amount_tax=_amount),
    "shipping_cost": _object(amount_total=_amount),
    "presentment_details": _object(presentment_currency=_code, presentment_amount=_amount),
    "created": _instant,
    "expires_at": _instant,
    # facts
    "currency": _code,
    "livemode": _flag,
    "object": _code,
    "payment_status": _code,
    "status": _code,
    "recovered_from": _text(MAX_ID),
    "url": _url,
    "after_expiration": _object(recovery=_object(url=_url)),
    "consent": _object(promotions=_code),
    "locale": _matching(_LOCALE),
    "payment_method_types": _list_of(_code),
    "payment_method_details": _object(type=_code),
    "next_action": lambda value: _read_action(value) if isinstance(value, dict) else None,
    # the customer
    "customer_details": _object(
        email=_email, name=_line, phone=_line, address=_object(country=_matching(_COUNTRY))
    ),
    "collected_information": _object(shipping_details=_recipient),
    "shipping_details": _recipient,
    "shipping": _recipient,
    # failed attempts, refunds, disputes and reviews
    "last_payment_error": _object(charge=_text(MAX_ID), code=_code, decline_code=_code, message=_line),
    "outcome": _object(reason=_code),
    "failure_code": _code,
    "failure_message": _line,
    "failure_reason": _code,
    "reason": _code,
    "refunds": _object(data=_list_of(_listed_refund)),
    "balance_transactions": _list_of(_movement),
    "evidence_details": _object(due_by=_instant),
    "opened_reason": _code,
    "closed_reason": _code,
    "fraud_type": _code,
    "actionable": _flag,
}  # fmt: skip

_instructions = _object(
    hosted_voucher_url=_url, hosted_instructions_url=_url, expires_after=_instant, expires_at=_instant
)


def _read_action(action: StripeObject) -> StripeObject:
    """Return a `next_action` with its type read, and with the instructions in the field that the type names."""
    kind = _code(action.get("type"))
    return _read(action, {"type": _code, **({kind: _instructions} if kind and kind != "type" else {})})


def read_object(raw: StripeObject) -> tuple[StripeObject, list[str]]:
    """Return the object with its fields read as `FIELDS` says, and the names of the fields that this changed."""
    found = _read(raw, FIELDS)
    if found is raw:
        return raw, []
    return found, [name for name in FIELDS if name in raw and found[name] is not raw[name]]


def find_unreadable(found: StripeObject) -> str | None:
    """Return what is wrong with the ids and amounts of an object that was read, or None if they can be used."""
    for name in IDENTITIES:
        value = found.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= MAX_ID):
            return f"{name} is not a text of at most {MAX_ID} characters"
    for name in AMOUNTS:
        if (value := found.get(name)) is not None and _amount(value) is None:
            return f"{name} is not an amount: an integer of at most {MAX_AMOUNT}"
    return None


def _read(raw: StripeObject, fields: Mapping[str, Reader]) -> StripeObject:
    """Return the object with its fields read; the same object if none of them is odd."""
    changed, default = {}, fields.get(ANY)
    for name in raw if default else fields.keys() & raw.keys():  # of many fields, few are read
        if (value := raw[name]) is None:
            continue
        read = (fields.get(name) or default)(value)  # type: ignore[misc]
        if read is not value and _differs(read, value):
            changed[name] = read
    return {**raw, **changed} if changed else raw


def _differs(read: Any, value: Any) -> bool:
    """Return True if a value was changed. `True`, 1 and 1.0 are equal in Python, but not for a database."""
    if isinstance(value, dict | list):
        return read is not value
    return type(read) is not type(value) or read != value
