"""The parameters that each call of the API accepts."""

from .params import (
    Kind,
    anything,
    clearable,
    currency,
    either,
    email,
    flag,
    integer,
    list_of,
    map_of,
    metadata,
    number,
    one_of,
    record,
    text,
    url,
)

EXPAND = list_of(text(), 20)
AMOUNT = integer(0, 99_999_999)  # Stripe's documented ceiling of eight digits
TAX_BEHAVIOR = one_of("inclusive", "exclusive", "unspecified")
CREATED = either(record(gt=integer(), gte=integer(), lt=integer(), lte=integer()), integer())
PAYMENT_METHODS = one_of("card", "link", "sepa_debit")
MARK = either(anything, text())  # settings that are kept and echoed, but change nothing here


def listing(**filters: Kind) -> Kind:
    return record(
        expand=EXPAND,
        limit=integer(1, 100),
        starting_after=text(),
        ending_before=text(),
        created=CREATED,
        **filters,
    )


def retrieving() -> Kind:
    return record(expand=EXPAND)


def describing(**fields: Kind) -> Kind:
    """An update of what only describes the object."""
    return record(expand=EXPAND, metadata=metadata, **fields)


ADDRESS = record(city=text(), country=text(2), line1=text(), line2=text(), postal_code=text(), state=text())
SHIPPING = record(
    ("address", "name"), address=ADDRESS, carrier=text(), name=text(), phone=text(), tracking_number=text()
)
PRODUCT_DATA = record(
    ("name",),
    name=text(),
    description=text(),
    images=list_of(url, 8),
    metadata=metadata,
    tax_code=text(),
    unit_label=text(),
)
PRODUCT_CREATE = record(
    ("name",),
    id=text(),
    name=text(),
    description=text(),
    images=list_of(url, 8),
    metadata=metadata,
    tax_code=text(),
    unit_label=text(),
    active=flag,
    shippable=flag,
    statement_descriptor=text(22),
    url=url,
    expand=EXPAND,
)
PRODUCT_UPDATE = describing(
    name=text(),
    description=clearable(text()),
    images=list_of(url, 8),
    tax_code=clearable(text()),
    active=flag,
    url=clearable(url),
    default_price=text(),
)
PRICE_CREATE = record(
    ("currency", "unit_amount"),
    recurring=record(("interval",), interval=one_of("day", "week", "month", "year"), interval_count=integer(1)),
    currency=currency,
    unit_amount=AMOUNT,
    product=text(),
    product_data=PRODUCT_DATA,
    tax_behavior=TAX_BEHAVIOR,
    nickname=text(),
    lookup_key=text(200),
    active=flag,
    metadata=metadata,
    expand=EXPAND,
)
PRICE_UPDATE = describing(
    active=flag, nickname=clearable(text()), lookup_key=clearable(text(200)), tax_behavior=TAX_BEHAVIOR
)

LINE_ITEM = record(
    ("quantity",),
    price=text(),
    price_data=record(
        ("currency", "unit_amount"),
        currency=currency,
        unit_amount=AMOUNT,
        product=text(),
        product_data=PRODUCT_DATA,
        tax_behavior=TAX_BEHAVIOR,
    ),
    quantity=integer(1, 999_999),
    tax_rates=list_of(text(), 5),
    adjustable_quantity=record(("enabled",), enabled=flag, minimum=integer(0), maximum=integer(1)),
    metadata=metadata,
)
_ESTIMATE = record(("unit", "value"), unit=one_of("hour", "day", "business_day", "week", "month"), value=integer(1))
SHIPPING_RATE = record(
    ("display_name",),
    display_name=text(100),
    type=one_of("fixed_amount"),
    fixed_amount=record(("amount", "currency"), amount=AMOUNT, currency=currency),
    delivery_estimate=record(minimum=_ESTIMATE, maximum=_ESTIMATE),
    tax_behavior=TAX_BEHAVIOR,
    tax_code=text(),
    metadata=metadata,
    expand=EXPAND,
)
TAX_RATE_CREATE = record(
    ("display_name", "inclusive", "percentage"),
    display_name=text(50),
    inclusive=flag,
    percentage=number,
    active=flag,
    country=text(2),
    description=text(),
    jurisdiction=text(50),
    state=text(2),
    tax_type=one_of("gst", "hst", "igst", "jct", "pst", "qst", "rst", "sales_tax", "vat"),
    metadata=metadata,
    expand=EXPAND,
)
TAX_RATE_UPDATE = describing(
    active=flag, display_name=text(50), description=clearable(text()), jurisdiction=clearable(text(50))
)
_SAID = record(("message",), message=text(1200))
SESSION_CREATE = record(
    ("mode", "line_items", "success_url"),
    mode=one_of("payment"),
    ui_mode=one_of("hosted_page", "hosted"),
    line_items=list_of(LINE_ITEM),
    currency=currency,
    success_url=url,
    cancel_url=url,
    client_reference_id=text(200),
    customer_email=email,
    customer_creation=one_of("if_required"),
    metadata=metadata,
    payment_intent_data=record(
        metadata=metadata,
        shipping=SHIPPING,
        setup_future_usage=one_of("off_session", "on_session"),
        description=text(1000),
        receipt_email=email,
        statement_descriptor=text(22),
        statement_descriptor_suffix=text(22),
        capture_method=one_of("automatic", "automatic_async"),
    ),
    expires_at=integer(),
    locale=text(10),
    discounts=list_of(record(coupon=text(), promotion_code=text()), 1),
    allow_promotion_codes=flag,
    shipping_options=list_of(record(shipping_rate=text(), shipping_rate_data=SHIPPING_RATE), 5),
    shipping_address_collection=record(("allowed_countries",), allowed_countries=list_of(text(2), 300)),
    automatic_tax=record(("enabled",), enabled=flag),
    phone_number_collection=record(("enabled",), enabled=flag),
    billing_address_collection=one_of("auto", "required"),
    after_expiration=record(recovery=record(("enabled",), enabled=flag, allow_promotion_codes=flag)),
    payment_method_types=list_of(PAYMENT_METHODS),
    payment_method_options=record(card=MARK, sepa_debit=MARK, link=MARK),
    submit_type=one_of("auto", "book", "donate", "pay"),
    consent_collection=record(
        promotions=one_of("auto", "none"),
        terms_of_service=one_of("none", "required"),
        payment_method_reuse_agreement=MARK,
    ),
    custom_text=record(after_submit=_SAID, shipping_address=_SAID, submit=_SAID, terms_of_service_acceptance=_SAID),
    adaptive_pricing=record(enabled=flag),
    expand=EXPAND,
)
SESSION_LIST = listing(
    payment_intent=text(), status=one_of("open", "complete", "expired"), customer_details=record(email=email)
)
SESSION_UPDATE = describing()

COUPON_CREATE = record(
    id=text(),
    name=text(40),
    percent_off=number,
    amount_off=integer(1),
    currency=currency,
    duration=one_of("once", "forever"),
    max_redemptions=integer(1),
    redeem_by=integer(),
    currency_options=map_of(record(("amount_off",), amount_off=integer(1))),
    metadata=metadata,
    expand=EXPAND,
)
PROMOTION_CODE_CREATE = record(
    ("promotion",),
    promotion=record(("type", "coupon"), type=one_of("coupon"), coupon=text()),
    code=text(500),
    active=flag,
    expires_at=integer(),
    max_redemptions=integer(1),
    restrictions=record(first_time_transaction=flag, minimum_amount=integer(1), minimum_amount_currency=currency),
    metadata=metadata,
    expand=EXPAND,
)
EVENT_LIST = listing(types=list_of(text(), 20), type=text(), delivery_success=flag)
