"""The calls of the API: path, accepted parameters, and what each does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import accepted, accepted_payments, catalogue, disputes, hosted, intents, refunds, sessions, taxes, transfers
from .account import Account, Cause
from .expanding import line_items
from .lists import page
from .params import Kind, email, flag, list_of, one_of, text
from .state import Object
from .updates import update

Act = Callable[[Account, Object, str, Cause], Object]  # account, parameters, the path's id or "", cause
Create = Callable[[Account, Object, Cause], Object]


@dataclass(frozen=True)
class Route:
    method: str
    path: str  # below /v1, `<object_id>` where it names one
    accepts: Kind
    act: Act


def _creating(create: Create) -> Act:
    return lambda account, params, _id, cause: create(account, params, cause)


def _retrieving(kind: str) -> Act:
    return lambda account, _params, object_id, _cause: account.store.get(kind, object_id)


def _listing(kind: str, path: str) -> Act:
    return lambda account, params, _id, _cause: page(account.store.all(kind), params, f"/v1{path}")


def _updating(kind: str) -> Act:
    return lambda account, params, object_id, cause: update(account, account.store.get(kind, object_id), params, cause)


def _resource(
    kind: str, path: str, listed: Kind, create: tuple[Kind, Create] | None = None, updated: Kind | None = None
) -> Iterator[Route]:
    yield Route("GET", path, listed, _listing(kind, path))
    yield Route("GET", f"{path}/<object_id>", accepted.retrieving(), _retrieving(kind))
    if create:
        yield Route("POST", path, create[0], _creating(create[1]))
    if updated:
        yield Route("POST", f"{path}/<object_id>", updated, _updating(kind))


def _expire(account: Account, _params: Object, session_id: str, cause: Cause) -> Object:
    return sessions.expire(account, account.store.get("checkout.session", session_id), cause)


def _line_items(account: Account, params: Object, session_id: str, _cause: Cause) -> Object:
    return line_items(account.store, account.store.get("checkout.session", session_id), params)


def _close_dispute(account: Account, _params: Object, dispute_id: str, cause: Cause) -> Object:
    return disputes.close(account, account.store.get("dispute", dispute_id), cause)


def _update_dispute(account: Account, params: Object, dispute_id: str, cause: Cause) -> Object:
    return disputes.update(account, account.store.get("dispute", dispute_id), params, cause)


def _cancel_refund(account: Account, _params: Object, refund_id: str, cause: Cause) -> Object:
    return refunds.cancel(account, account.store.get("refund", refund_id), cause)


def _delete_coupon(account: Account, _params: Object, coupon_id: str, cause: Cause) -> Object:
    coupon = account.store.get("coupon", coupon_id)
    account.store.remove("coupon", coupon_id)
    account.emit("coupon.deleted", coupon, cause=cause)
    return {"id": coupon_id, "object": "coupon", "deleted": True}


_OF_PAYMENT = {"payment_intent": text(), "charge": text()}
_SESSION = "/checkout/sessions/<object_id>"

ROUTES: tuple[Route, ...] = (
    *_resource(
        "product",
        "/products",
        accepted.listing(active=flag, ids=list_of(text())),
        (accepted.PRODUCT_CREATE, catalogue.create_product),
        accepted.PRODUCT_UPDATE,
    ),
    *_resource(
        "price",
        "/prices",
        accepted.listing(active=flag, product=text(), currency=text(3), type=one_of("one_time", "recurring")),
        (accepted.PRICE_CREATE, catalogue.create_price),
        accepted.PRICE_UPDATE,
    ),
    *_resource(
        "shipping_rate",
        "/shipping_rates",
        accepted.listing(active=flag),
        (accepted.SHIPPING_RATE, catalogue.create_shipping_rate),
        accepted.describing(active=flag),
    ),
    *_resource(
        "tax_rate",
        "/tax_rates",
        accepted.listing(active=flag, inclusive=flag),
        (accepted.TAX_RATE_CREATE, taxes.create_tax_rate),
        accepted.TAX_RATE_UPDATE,
    ),
    *_resource(
        "coupon",
        "/coupons",
        accepted.listing(),
        (accepted.COUPON_CREATE, catalogue.create_coupon),
        accepted.describing(name=text(40)),
    ),
    *_resource(
        "promotion_code",
        "/promotion_codes",
        accepted.listing(active=flag, code=text(), coupon=text()),
        (accepted.PROMOTION_CODE_CREATE, catalogue.create_promotion_code),
        accepted.describing(active=flag),
    ),
    *_resource(
        "checkout.session",
        "/checkout/sessions",
        accepted.SESSION_LIST,
        (accepted.SESSION_CREATE, sessions.create_session),
        accepted.SESSION_UPDATE,
    ),
    Route("POST", f"{_SESSION}/expire", accepted.retrieving(), _expire),
    Route("GET", f"{_SESSION}/line_items", accepted.listing(), _line_items),
    *_resource(
        "payment_intent",
        "/payment_intents",
        accepted.listing(customer=text()),
        (accepted_payments.INTENT_CREATE, intents.create_intent),
        accepted.describing(description=text(1000)),
    ),
    *_resource(
        "charge",
        "/charges",
        accepted.listing(payment_intent=text()),
        None,
        accepted.describing(description=text(1000)),
    ),
    *_resource(
        "refund",
        "/refunds",
        accepted.listing(**_OF_PAYMENT),
        (accepted_payments.REFUND_CREATE, refunds.create_refund),
        accepted.describing(),
    ),
    *_resource("dispute", "/disputes", accepted.listing(**_OF_PAYMENT)),
    *_resource(
        "payment_method",
        "/payment_methods",
        accepted.listing(type=text()),
        (accepted_payments.PAYMENT_METHOD_CREATE, intents.create_method),
    ),
    *_resource(
        "customer",
        "/customers",
        accepted.listing(email=email),
        (accepted_payments.CUSTOMER_CREATE, transfers.create_customer),
    ),
    *_resource("balance_transaction", "/balance_transactions", accepted.listing(type=text(), source=text())),
    *_resource("event", "/events", accepted.EVENT_LIST),
    Route("POST", "/payment_intents/<object_id>/confirm", accepted_payments.INTENT_CONFIRM, intents.confirm_intent),
    Route("POST", "/payment_intents/<object_id>/capture", accepted.retrieving(), intents.capture_intent),
    Route("POST", "/payment_intents/<object_id>/cancel", accepted_payments.INTENT_CANCEL, intents.cancel_intent),
    Route(
        "POST", "/test_helpers/customers/<object_id>/fund_cash_balance", accepted_payments.CUSTOMER_FUND, transfers.fund
    ),
    Route("GET", "/payment_pages/<object_id>", accepted.retrieving(), _retrieving("checkout.session")),
    Route("POST", "/payment_pages/<object_id>/confirm", accepted_payments.PAGE_CONFIRM, hosted.confirm_page),
    Route("DELETE", "/products/<object_id>", accepted.retrieving(), catalogue.delete_product),
    Route("POST", "/refunds/<object_id>/cancel", accepted.retrieving(), _cancel_refund),
    Route("POST", "/disputes/<object_id>", accepted_payments.DISPUTE_UPDATE, _update_dispute),
    Route("POST", "/disputes/<object_id>/close", accepted.retrieving(), _close_dispute),
    Route("DELETE", "/coupons/<object_id>", accepted.retrieving(), _delete_coupon),
)
