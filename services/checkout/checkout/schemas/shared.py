"""The fields and checks of several schemas."""

from collections.abc import Mapping
from typing import Any

import idna
from events.money import SUPPORTED, format_amount, is_valid_amount, maximum, step
from events.web.fields import LimitedDict
from marshmallow import ValidationError, fields, validate

from checkout.models import TaxBehavior

MAX_CODE_CHARACTERS = 40  # characters of a discount code: the limit of a coupon's name at Stripe
PRINTABLE = validate.Regexp(r"[^\x00-\x1f\x7f]*\Z", error="Remove the control characters.")
NOT_BLANK = validate.Regexp(r"(?s).*\S", error="Write some text: Stripe refuses spaces alone.")


class Currency(fields.String):
    """A currency that Stripe supports; read in upper or lower case and loaded in lower case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        currency = super()._deserialize(value, attr, data, **kwargs).lower()
        if currency not in SUPPORTED:
            raise ValidationError("Use a currency that Stripe supports.")
        return currency


class EmailAddress(fields.Email):
    """An e-mail address, with only ASCII before the @. A domain in any script is stored in ASCII (IDNA 2008)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        address = super()._deserialize(value, attr, data, **kwargs).strip()
        local, at, domain = address.rpartition("@")
        if not local.isascii():
            raise ValidationError("Use only ASCII characters before the @.")
        try:
            return local + at + idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise ValidationError("The part after the @ is not a domain.") from None


def amounts_by_currency(smallest: int, **kwargs: Any) -> LimitedDict:
    """Return a field for amounts of at least `smallest`, in minor units by currency."""
    amount = fields.Integer(strict=True, validate=validate.Range(smallest))
    length = validate.Length(max=2 * len(SUPPORTED))  # each in upper and in lower case; the last one counts
    return LimitedDict(length, keys=Currency(), values=amount, validate=_validate_amounts, **kwargs)


def _validate_amounts(amounts: Mapping[str, int]) -> None:
    invalid = [currency for currency, amount in amounts.items() if not is_valid_amount(amount, currency)]
    errors = {
        currency: [f"Stripe accepts only multiples of {step(currency)} minor units in this currency."]
        for currency in invalid
    }
    errors |= {
        currency: [f"Stripe accepts at most {format_amount(maximum(currency), currency)}."]
        for currency, amount in amounts.items()
        if amount > maximum(currency)
    }
    if errors:
        raise ValidationError(errors)


def tax_behavior() -> fields.String:
    """Return a field that says whether automatic tax is part of the price (inclusive) or is added to it (exclusive)."""
    return fields.String(
        load_default=TaxBehavior.INCLUSIVE.value, validate=validate.OneOf([kind.value for kind in TaxBehavior])
    )


def normalize_code(code: str) -> str:
    """Return a discount code as it is stored: in upper case, without spaces at its ends."""
    return code.strip().upper()
