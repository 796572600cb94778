"""Parameters of Checkout Sessions."""

from .catalog import PRODUCT_DATA, SHIPPING_RATE
from .common import AMOUNT, EXPAND, SHIPPING, TAX_BEHAVIOR, UNCHECKED, list_params, update_params
from .param_types import boolean, choice, country, currency, email, integer, list_of, metadata, record, text, url

_PAYMENT_METHODS = choice("card", "link", "sepa_debit")
_LINE_ITEM = record(
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
    adjustable_quantity=record(("enabled",), enabled=boolean, minimum=integer(0), maximum=integer(1)),
    metadata=metadata,
)
_MESSAGE = record(("message",), message=text(1200))
SESSION_CREATE = record(
    ("mode", "line_items", "success_url"),
    mode=choice("payment"),
    ui_mode=choice("hosted_page", "hosted"),
    line_items=list_of(_LINE_ITEM),
    currency=currency,
    success_url=url,
    cancel_url=url,
    client_reference_id=text(200),
    customer_email=email,
    customer_creation=choice("if_required"),
    metadata=metadata,
    payment_intent_data=record(
        metadata=metadata,
        shipping=SHIPPING,
        setup_future_usage=choice("off_session", "on_session"),
        description=text(1000),
        receipt_email=email,
        statement_descriptor=text(22),
        statement_descriptor_suffix=text(22),
        capture_method=choice("automatic", "automatic_async"),
    ),
    expires_at=integer(),
    locale=text(10),
    discounts=list_of(record(coupon=text(), promotion_code=text()), 1),
    allow_promotion_codes=boolean,
    shipping_options=list_of(record(shipping_rate=text(), shipping_rate_data=SHIPPING_RATE), 5),
    shipping_address_collection=record(("allowed_countries",), allowed_countries=list_of(country, 300)),
    automatic_tax=record(("enabled",), enabled=boolean),
    phone_number_collection=record(("enabled",), enabled=boolean),
    billing_address_collection=choice("auto", "required"),
    after_expiration=record(recovery=record(("enabled",), enabled=boolean, allow_promotion_codes=boolean)),
    payment_method_types=list_of(_PAYMENT_METHODS),
    payment_method_options=record(card=UNCHECKED, sepa_debit=UNCHECKED, link=UNCHECKED),
    submit_type=choice("auto", "book", "donate", "pay"),
    consent_collection=record(
        promotions=choice("auto", "none"),
        terms_of_service=choice("none", "required"),
        payment_method_reuse_agreement=UNCHECKED,
    ),
    custom_text=record(
        after_submit=_MESSAGE, shipping_address=_MESSAGE, submit=_MESSAGE, terms_of_service_acceptance=_MESSAGE
    ),
    adaptive_pricing=record(enabled=boolean),
    expand=EXPAND,
)
SESSION_LIST = list_params(
    payment_intent=text(), status=choice("open", "complete", "expired"), customer_details=record(email=email)
)
SESSION_UPDATE = update_params()
