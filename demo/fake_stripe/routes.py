"""The routes of the API: path, parameters and action of each call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import bank_transfers, catalog, disputes, intents, refunds, session_payments, sessions, taxes
from .account import Account, Cause
from .expansion import list_line_items
from .pagination import paginate
from .params import catalog as catalog_params
from .params import payments as payment_params
from .params import sessions as session_params
from .params.common import list_params, retrieve_params, update_params
from .params.param_types import ParamType, boolean, choice, email, list_of, text
from .store import Object
from .updates import update

Action = Callable[[Account, Object, str, Cause], Object]  # account, parameters, the id in the path or "", cause
CreateAction = Callable[[Account, Object, Cause], Object]


@dataclass(frozen=True)
class Route:
    """One call of the API: its method and path, the type of its parameters, and the action that answers it."""

    method: str
    path: str  # below /v1; `<object_id>` is the id of the object
    params: ParamType
    action: Action


def _create(create: CreateAction) -> Action:
    return lambda account, params, _id, cause: create(account, params, cause)


def _retrieve(kind: str) -> Action:
    return lambda account, _params, object_id, _cause: account.store.get(kind, object_id)


def _list(kind: str, path: str) -> Action:
    return lambda account, params, _id, _cause: paginate(account.store.all(kind), params, f"/v1{path}")


def _update(kind: str) -> Action:
    return lambda account, params, object_id, cause: update(account, account.store.get(kind, object_id), params, cause)


def _resource(
    kind: str,
    path: str,
    list_: ParamType,
    create: tuple[ParamType, CreateAction] | None = None,
    update_: ParamType | None = None,
) -> Iterator[Route]:
    """Yield the routes that list, retrieve, create and update one kind of object."""
    yield Route("GET", path, list_, _list(kind, path))
    yield Route("GET", f"{path}/<object_id>", retrieve_params(), _retrieve(kind))
    if create:
        yield Route("POST", path, create[0], _create(create[1]))
    if update_:
        yield Route("POST", f"{path}/<object_id>", update_, _update(kind))


def _expire(account: Account, _params: Object, session_id: str, cause: Cause) -> Object:
    return sessions.expire(account, account.store.get("checkout.session", session_id), cause)


def _line_items(account: Account, params: Object, session_id: str, _cause: Cause) -> Object:
    return list_line_items(account.store, account.store.get("checkout.session", session_id), params)


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
        list_params(active=boolean, ids=list_of(text())),
        (catalog_params.PRODUCT_CREATE, catalog.create_product),
        catalog_params.PRODUCT_UPDATE,
    ),
    *_resource(
        "price",
        "/prices",
        list_params(active=boolean, product=text(), currency=text(3), type=choice("one_time", "recurring")),
        (catalog_params.PRICE_CREATE, catalog.create_price),
        catalog_params.PRICE_UPDATE,
    ),
    *_resource(
        "shipping_rate",
        "/shipping_rates",
        list_params(active=boolean),
        (catalog_params.SHIPPING_RATE, catalog.create_shipping_rate),
        update_params(active=boolean),
    ),
    *_resource(
        "tax_rate",
        "/tax_rates",
        list_params(active=boolean, inclusive=boolean),
        (catalog_params.TAX_RATE_CREATE, taxes.create_tax_rate),
        catalog_params.TAX_RATE_UPDATE,
    ),
    *_resource(
        "coupon",
        "/coupons",
        list_params(),
        (catalog_params.COUPON_CREATE, catalog.create_coupon),
        update_params(name=text(40)),
    ),
    *_resource(
        "promotion_code",
        "/promotion_codes",
        list_params(active=boolean, code=text(), coupon=text()),
        (catalog_params.PROMOTION_CODE_CREATE, catalog.create_promotion_code),
        update_params(active=boolean),
    ),
    *_resource(
        "checkout.session",
        "/checkout/sessions",
        session_params.SESSION_LIST,
        (session_params.SESSION_CREATE, sessions.create_session),
        session_params.SESSION_UPDATE,
    ),
    Route("POST", f"{_SESSION}/expire", retrieve_params(), _expire),
    Route("GET", f"{_SESSION}/line_items", list_params(), _line_items),
    *_resource(
        "payment_intent",
        "/payment_intents",
        list_params(customer=text()),
        (payment_params.INTENT_CREATE, intents.create_intent),
        update_params(description=text(1000)),
    ),
    *_resource(
        "charge",
        "/charges",
        list_params(payment_intent=text()),
        None,
        update_params(description=text(1000)),
    ),
    *_resource(
        "refund",
        "/refunds",
        list_params(**_OF_PAYMENT),
        (payment_params.REFUND_CREATE, refunds.create_refund),
        update_params(),
    ),
    *_resource("dispute", "/disputes", list_params(**_OF_PAYMENT)),
    *_resource(
        "payment_method",
        "/payment_methods",
        list_params(type=text()),
        (payment_params.PAYMENT_METHOD_CREATE, intents.create_method),
    ),
    *_resource(
        "customer",
        "/customers",
        list_params(email=email),
        (payment_params.CUSTOMER_CREATE, bank_transfers.create_customer),
    ),
    *_resource("balance_transaction", "/balance_transactions", list_params(type=text(), source=text())),
    *_resource("event", "/events", list_params(types=list_of(text(), 20), type=text(), delivery_success=boolean)),
    Route("POST", "/payment_intents/<object_id>/confirm", payment_params.INTENT_CONFIRM, intents.confirm_intent),
    Route("POST", "/payment_intents/<object_id>/capture", retrieve_params(), intents.capture_intent),
    Route("POST", "/payment_intents/<object_id>/cancel", payment_params.INTENT_CANCEL, intents.cancel_intent),
    Route(
        "POST",
        "/test_helpers/customers/<object_id>/fund_cash_balance",
        payment_params.CUSTOMER_FUND,
        bank_transfers.fund_balance,
    ),
    Route("GET", "/payment_pages/<object_id>", retrieve_params(), _retrieve("checkout.session")),
    Route("POST", "/payment_pages/<object_id>/confirm", payment_params.PAGE_CONFIRM, session_payments.confirm_page),
    Route("DELETE", "/products/<object_id>", retrieve_params(), catalog.delete_product),
    Route("POST", "/refunds/<object_id>/cancel", retrieve_params(), _cancel_refund),
    Route("POST", "/disputes/<object_id>", payment_params.DISPUTE_UPDATE, _update_dispute),
    Route("POST", "/disputes/<object_id>/close", retrieve_params(), _close_dispute),
    Route("DELETE", "/coupons/<object_id>", retrieve_params(), _delete_coupon),
)
