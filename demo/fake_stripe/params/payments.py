"""Parameters of payment intents, payment methods, customers, refunds and disputes."""

from ..objects.dispute import EVIDENCE_FIELDS
from .common import ADDRESS, EXPAND, SHIPPING, UNCHECKED, update_params
from .param_types import boolean, choice, clearable, currency, email, integer, list_of, metadata, record, text, url

REFUND_CREATE = record(
    payment_intent=text(),
    charge=text(),
    amount=integer(1),
    reason=choice("duplicate", "fraudulent", "requested_by_customer"),
    instructions_email=email,
    metadata=metadata,
    expand=EXPAND,
)
DISPUTE_UPDATE = update_params(
    evidence=record(**{name: clearable(text(20_000)) for name in EVIDENCE_FIELDS}), submit=boolean
)
PAYMENT_METHOD_CREATE = record(
    ("type",),
    type=choice("card", "sepa_debit"),
    card=record(token=text(), number=text(), cvc=text(), exp_month=integer(1, 12), exp_year=integer(2000)),
    sepa_debit=record(("iban",), iban=text()),
    billing_details=record(address=ADDRESS, email=email, name=text(), phone=text()),
    metadata=metadata,
    expand=EXPAND,
)
INTENT_CREATE = record(
    ("amount", "currency"),
    amount=integer(1, 999_999_999_999),
    currency=currency,
    automatic_payment_methods=UNCHECKED,
    capture_method=choice("automatic", "automatic_async", "manual"),
    confirm=boolean,
    confirmation_method=choice("automatic", "manual"),
    customer=text(),
    description=text(1000),
    mandate_data=UNCHECKED,
    metadata=metadata,
    payment_method=text(),
    payment_method_data=UNCHECKED,
    payment_method_options=UNCHECKED,
    payment_method_types=list_of(choice("card", "link", "sepa_debit", "customer_balance")),
    receipt_email=email,
    return_url=url,
    setup_future_usage=choice("off_session", "on_session"),
    shipping=SHIPPING,
    statement_descriptor=text(22),
    statement_descriptor_suffix=text(22),
    expand=EXPAND,
)
INTENT_CONFIRM = record(payment_method=text(), return_url=url, mandate_data=UNCHECKED, expand=EXPAND)
INTENT_CANCEL = record(
    cancellation_reason=choice("duplicate", "fraudulent", "requested_by_customer", "abandoned"), expand=EXPAND
)
PAGE_CONFIRM = record(("payment_method", "expected_amount"), payment_method=text(), expected_amount=integer(0))
CUSTOMER_CREATE = record(description=text(), email=email, name=text(), phone=text(), metadata=metadata, expand=EXPAND)
CUSTOMER_FUND = record(("amount", "currency"), amount=integer(1), currency=currency, reference=text(), expand=EXPAND)
