"""Parameters that many calls share."""

from .param_types import ParamType, anything, choice, either, integer, list_of, metadata, record, text

EXPAND = list_of(text(), 20)
AMOUNT = integer(0, 999_999_999_999)  # minor units; the currency's own maximum is checked with the currency
TAX_BEHAVIOR = choice("inclusive", "exclusive", "unspecified")
UNCHECKED = either(anything, text())  # settings that the fake stores and returns, but does not use
ADDRESS = record(city=text(), country=text(2), line1=text(), line2=text(), postal_code=text(), state=text())
SHIPPING = record(
    ("address", "name"), address=ADDRESS, carrier=text(), name=text(), phone=text(), tracking_number=text()
)
_CREATED = either(record(gt=integer(), gte=integer(), lt=integer(), lte=integer()), integer())


def list_params(**filters: ParamType) -> ParamType:
    """Return the parameters of a list call: pagination, `created` and these filters."""
    return record(
        expand=EXPAND,
        limit=integer(1, 100),
        starting_after=text(),
        ending_before=text(),
        created=_CREATED,
        **filters,
    )


def retrieve_params() -> ParamType:
    """Return the parameters of a call whose path names the object: only `expand`."""
    return record(expand=EXPAND)


def update_params(**fields: ParamType) -> ParamType:
    """Return the parameters of an update: `expand`, metadata and these fields."""
    return record(expand=EXPAND, metadata=metadata, **fields)
