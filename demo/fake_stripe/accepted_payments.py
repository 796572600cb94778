"""The parameters of the calls around payments: intents, methods, customers, refunds, disputes."""

from .accepted import ADDRESS, EXPAND, MARK, SHIPPING, describing
from .params import clearable, currency, email, flag, integer, list_of, metadata, one_of, record, text, url
from .shapes.aftermath import EVIDENCE

REFUND_CREATE = record(
    payment_intent=text(),
    charge=text(),
    amount=integer(1),
    reason=one_of("duplicate", "fraudulent", "requested_by_customer"),
    instructions_email=email,
    metadata=metadata,
    expand=EXPAND,
)
DISPUTE_UPDATE = describing(evidence=record(**{name: clearable(text(20_000)) for name in EVIDENCE}), submit=flag)
PAYMENT_METHOD_CREATE = record(
    ("type",),
    type=one_of("card", "sepa_debit"),
    card=record(token=text(), number=text(), cvc=text(), exp_month=integer(1, 12), exp_year=integer(2000)),
    sepa_debit=record(("iban",), iban=text()),
    billing_details=record(address=ADDRESS, email=email, name=text(), phone=text()),
    metadata=metadata,
    expand=EXPAND,
)
INTENT_CREATE = record(
    ("amount", "currency"),
    amount=integer(1, 99_999_999),
    currency=currency,
    automatic_payment_methods=MARK,
    capture_method=one_of("automatic", "automatic_async", "manual"),
    confirm=flag,
    confirmation_method=one_of("automatic", "manual"),
    customer=text(),
    description=text(1000),
    mandate_data=MARK,
    metadata=metadata,
    payment_method=text(),
    payment_method_data=MARK,
    payment_method_options=MARK,
    payment_method_types=list_of(one_of("card", "link", "sepa_debit", "customer_balance")),
    receipt_email=email,
    return_url=url,
    setup_future_usage=one_of("off_session", "on_session"),
    shipping=SHIPPING,
    statement_descriptor=text(22),
    statement_descriptor_suffix=text(22),
    expand=EXPAND,
)
INTENT_CONFIRM = record(payment_method=text(), return_url=url, mandate_data=MARK, expand=EXPAND)
INTENT_CANCEL = record(
    cancellation_reason=one_of("duplicate", "fraudulent", "requested_by_customer", "abandoned"), expand=EXPAND
)
PAGE_CONFIRM = record(("payment_method", "expected_amount"), payment_method=text(), expected_amount=integer(0))
CUSTOMER_CREATE = record(description=text(), email=email, name=text(), phone=text(), metadata=metadata, expand=EXPAND)
CUSTOMER_FUND = record(("amount", "currency"), amount=integer(1), currency=currency, reference=text(), expand=EXPAND)
