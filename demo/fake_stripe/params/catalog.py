"""Parameters of products, prices, shipping rates, tax rates, coupons and promotion codes."""

from .common import AMOUNT, EXPAND, TAX_BEHAVIOR, update_params
from .param_types import (
    boolean,
    choice,
    clearable,
    coupon_id,
    currency,
    image,
    integer,
    list_of,
    map_of,
    metadata,
    number,
    record,
    tax_code,
    text,
    url,
)

PRODUCT_DATA = record(
    ("name",),
    name=text(),
    description=text(),
    images=list_of(image, 8),
    metadata=metadata,
    tax_code=tax_code,
    unit_label=text(),
)
PRODUCT_CREATE = record(
    ("name",),
    id=text(),
    name=text(),
    description=text(),
    images=list_of(image, 8),
    metadata=metadata,
    tax_code=tax_code,
    unit_label=text(),
    active=boolean,
    shippable=boolean,
    statement_descriptor=text(22),
    url=url,
    expand=EXPAND,
)
PRODUCT_UPDATE = update_params(
    name=text(),
    description=clearable(text()),
    images=list_of(image, 8),
    tax_code=clearable(tax_code),
    active=boolean,
    url=clearable(url),
    default_price=text(),
)
PRICE_CREATE = record(
    ("currency", "unit_amount"),
    recurring=record(("interval",), interval=choice("day", "week", "month", "year"), interval_count=integer(1)),
    currency=currency,
    unit_amount=AMOUNT,
    product=text(),
    product_data=PRODUCT_DATA,
    tax_behavior=TAX_BEHAVIOR,
    nickname=text(),
    lookup_key=text(200),
    active=boolean,
    metadata=metadata,
    expand=EXPAND,
)
PRICE_UPDATE = update_params(
    active=boolean, nickname=clearable(text()), lookup_key=clearable(text(200)), tax_behavior=TAX_BEHAVIOR
)

_ESTIMATE = record(("unit", "value"), unit=choice("hour", "day", "business_day", "week", "month"), value=integer(1))
SHIPPING_RATE = record(
    ("display_name",),
    display_name=text(100),
    type=choice("fixed_amount"),
    fixed_amount=record(("amount", "currency"), amount=AMOUNT, currency=currency),
    delivery_estimate=record(minimum=_ESTIMATE, maximum=_ESTIMATE),
    tax_behavior=TAX_BEHAVIOR,
    tax_code=tax_code,
    metadata=metadata,
    expand=EXPAND,
)
TAX_RATE_CREATE = record(
    ("display_name", "inclusive", "percentage"),
    display_name=text(50),
    inclusive=boolean,
    percentage=number,
    active=boolean,
    country=text(2),
    description=text(),
    jurisdiction=text(50),
    state=text(2),
    tax_type=choice("gst", "hst", "igst", "jct", "pst", "qst", "rst", "sales_tax", "vat"),
    metadata=metadata,
    expand=EXPAND,
)
TAX_RATE_UPDATE = update_params(
    active=boolean, display_name=text(50), description=clearable(text()), jurisdiction=clearable(text(50))
)
COUPON_CREATE = record(
    id=coupon_id,
    name=text(40),
    percent_off=number,
    amount_off=integer(1),
    currency=currency,
    duration=choice("once", "forever"),
    max_redemptions=integer(1),
    redeem_by=integer(),
    applies_to=record(("products",), products=list_of(text())),
    currency_options=map_of(record(("amount_off",), amount_off=integer(1))),
    metadata=metadata,
    expand=EXPAND,
)
PROMOTION_CODE_CREATE = record(
    ("promotion",),
    promotion=record(("type", "coupon"), type=choice("coupon"), coupon=text()),
    code=text(500),
    active=boolean,
    expires_at=integer(),
    max_redemptions=integer(1),
    restrictions=record(first_time_transaction=boolean, minimum_amount=integer(1), minimum_amount_currency=currency),
    metadata=metadata,
    expand=EXPAND,
)
