"""The routes of the shop and of the operators."""

from dataclasses import dataclass
from typing import Any

from events.database.engine import Database
from events.observability.logging import get_logger
from events.web.auth import operator_required
from events.web.blueprint import Blueprint
from events.web.client_address import client_network
from events.web.idempotency import KeyHeader
from events.web.pagination import PageArgs, decode_cursor, page
from events.web.problems import invalid_request
from flask import current_app, g, request
from marshmallow import Schema
from sqlalchemy.orm import Session

from checkout import catalog, discounts, redirects, repository, shipping
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.creation import CheckoutRequest
from checkout.inventory_client import StockCache
from checkout.limits import Client
from checkout.models import Checkout, Discount, Product, ShippingOption
from checkout.schemas.checkouts import (
    CheckoutArgs,
    CheckoutDetails,
    CheckoutEntry,
    CheckoutPage,
    NewCheckout,
    StartedCheckout,
)
from checkout.schemas.discounts import DiscountCode, DiscountEntry, DiscountFields, DiscountPage
from checkout.schemas.products import ProductArgs, ProductEntry, ProductFields, ProductPage
from checkout.schemas.shared import normalize_code
from checkout.schemas.shipping import OfferedShippingList, ShippingArgs, ShippingEntry, ShippingFields, ShippingId

log = get_logger(__name__)
blueprint = Blueprint("checkout", __name__)


@dataclass(frozen=True)
class Dependencies:
    """The objects that the routes use, made once for each application."""

    config: Config
    database: Database
    checkouts: Checkouts
    stock: StockCache


def dependencies() -> Dependencies:
    """Return the current application's dependencies."""
    found: Dependencies = current_app.extensions["clozit"]
    return found


@blueprint.get("/products")
@blueprint.arguments(ProductArgs, location="query")
@blueprint.response(200, ProductPage)
def list_products(args: dict[str, Any]) -> dict[str, Any]:
    """List the products for sale, sorted by sku. Without `currency`, the shop's default currency applies."""
    currency = args["currency"] or dependencies().config.default_currency
    (after,) = decode_cursor(args["cursor"], str) or ("",)
    with dependencies().database.read() as session:
        products = catalog.list_products(session, currency, after, args["limit"] + 1)
    listed = page(products, args["limit"], "sku")
    available = dependencies().stock.available([product.sku for product in listed["items"]])
    items = [
        _product_for_sale(product, currency) | {"available": available.get(product.sku)} for product in listed["items"]
    ]
    return listed | {"items": items}


def _product_for_sale(product: Product, currency: str) -> dict[str, Any]:
    names = ("sku", "group", "size", "name", "description", "image")
    values: dict[str, Any] = {name: getattr(product, name) for name in names}
    return values | {"unit_amount": product.prices[currency], "currency": currency}


@blueprint.post("/checkout/sessions")
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(NewCheckout)
@blueprint.response(201, StartedCheckout)
def start_checkout(headers: dict[str, Any], checkout_request: CheckoutRequest) -> Checkout:
    """Reserve the cart and return the URL of the payment page. A repeated Idempotency-Key returns the same checkout."""
    _check_redirects(checkout_request, dependencies().config)
    return dependencies().checkouts.start(checkout_request, headers["key"], _client(dependencies().config))


def _client(config: Config) -> Client:
    forwarded_for = request.headers.get("X-Forwarded-For", "")
    network = client_network(request.remote_addr, forwarded_for, config.trusted_proxies)
    return Client(network, request.headers.get("X-Bot-Check"))


def _check_redirects(checkout_request: CheckoutRequest, config: Config) -> None:
    urls = {"success_url": checkout_request.success_url, "cancel_url": checkout_request.cancel_url}
    foreign = [name for name, url in urls.items() if url and not redirects.is_allowed(url, config.origins)]
    if foreign:
        raise invalid_request(**{name: ["Use a URL of the shop's own sites."] for name in foreign})


@blueprint.get("/checkout/sessions/<checkout_id>")
@blueprint.response(200, CheckoutDetails)
def show_checkout(checkout_id: str) -> Checkout:
    """Return a checkout with its status."""
    return dependencies().checkouts.get(checkout_id)


@blueprint.post("/checkout/sessions/<checkout_id>/cancel")
@blueprint.response(200, CheckoutDetails)
def cancel_checkout(checkout_id: str) -> Checkout:
    """Cancel a new or open checkout: it can no longer be paid, and its stock is released.

    A checkout that ended unpaid is returned unchanged. The answer is 409 once the customer has completed the checkout.
    """
    return dependencies().checkouts.cancel(checkout_id)


@blueprint.get("/checkouts")
@operator_required
@blueprint.arguments(CheckoutArgs, location="query")
@blueprint.response(200, CheckoutPage)
def list_checkouts(args: dict[str, Any]) -> dict[str, Any]:
    """List the checkouts that match all filters, newest first. Without a status, only open ones match."""
    if args["discount_code"]:
        args["discount_code"] = normalize_code(args["discount_code"])
    (before,) = decode_cursor(args["cursor"], str) or (None,)
    with dependencies().database.read() as session:
        return page(repository.list_checkouts(session, args, before, args["limit"] + 1), args["limit"], "id")


@blueprint.post("/checkouts/<checkout_id>/cancel")
@operator_required
@blueprint.response(200, CheckoutEntry)
def cancel_checkout_for_operator(checkout_id: str) -> Checkout:
    """Cancel a new or open checkout, for example after its price or discount was withdrawn.

    A checkout that ended unpaid is returned unchanged. The answer is 409 once the customer has completed the checkout.
    """
    return dependencies().checkouts.cancel(checkout_id, operator=g.actor)


@blueprint.put("/catalog/products/<sku>")
@operator_required
@blueprint.arguments(ProductFields)
@blueprint.response(200, ProductEntry)
def put_product(values: dict[str, Any], sku: str) -> dict[str, Any]:
    """Create or replace a product. Started checkouts keep their prices."""
    _check_path(ProductEntry(only=("sku",)), {"sku": sku})
    with dependencies().database.begin() as session:
        catalog.put_entry(session, Product, sku, values)
    return {"sku": sku, **values}


@blueprint.get("/shipping-options")
@blueprint.arguments(ShippingArgs, location="query")
@blueprint.response(200, OfferedShippingList)
def list_shipping(args: dict[str, Any]) -> dict[str, Any]:
    """List the active shipping options with a price in the currency, the cheapest first."""
    currency = args["currency"] or dependencies().config.default_currency
    with dependencies().database.read() as session:
        options = shipping.list_options(session, currency)
    return {"items": [_offered(option, currency) for option in options]}


def _offered(option: ShippingOption, currency: str) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(option, name) for name in ("id", "name", "min_days", "max_days")}
    return values | {
        "currency": currency,
        "amount": option.amounts[currency],
        "free_from": option.free_from.get(currency),
        "countries": option.countries or dependencies().config.shipping_countries,
    }


@blueprint.put("/catalog/shipping-options/<option_id>")
@operator_required
@blueprint.arguments(ShippingFields)
@blueprint.response(200, ShippingEntry)
def put_shipping(values: dict[str, Any], option_id: str) -> dict[str, Any]:
    """Create or replace a shipping option. Started checkouts keep their options and prices."""
    _check_path(ShippingId(), {"id": option_id})
    with dependencies().database.begin() as session:
        catalog.put_entry(session, ShippingOption, option_id, values)
    return {"id": option_id, **values}


@blueprint.get("/catalog/discounts")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, DiscountPage)
def list_discounts(args: dict[str, Any]) -> dict[str, Any]:
    """List all discounts, sorted by code, with the numbers of their uses."""
    (after,) = decode_cursor(args["cursor"], str) or ("",)
    with dependencies().database.read() as session:
        listed = page(catalog.list_discounts(session, after, args["limit"] + 1), args["limit"], "code")
        counts = discounts.count_uses(session, [discount.code for discount in listed["items"]])
    return listed | {"items": [_with_counts(discount, counts[discount.code]) for discount in listed["items"]]}


@blueprint.get("/catalog/discounts/<code>")
@operator_required
@blueprint.response(200, DiscountEntry)
def show_discount(code: str) -> dict[str, Any]:
    """Return a discount with the numbers of its uses."""
    with dependencies().database.read() as session:
        return _discount_entry(session, normalize_code(code))


@blueprint.put("/catalog/discounts/<code>")
@operator_required
@blueprint.arguments(DiscountFields)
@blueprint.response(200, DiscountEntry)
def put_discount(values: dict[str, Any], code: str) -> dict[str, Any]:
    """Create or replace a discount. Its earlier uses still count. The case of the code does not matter."""
    code = normalize_code(code)
    _check_path(DiscountCode(), {"code": code})
    with dependencies().database.begin() as session:
        catalog.put_entry(session, Discount, code, values)
        session.expire_all()
        return _discount_entry(session, code)


def _discount_entry(session: Session, code: str) -> dict[str, Any]:
    return _with_counts(catalog.get_discount(session, code), discounts.count_uses(session, [code])[code])


def _with_counts(discount: Discount, counts: dict[str, int]) -> dict[str, Any]:
    return {name: getattr(discount, name, None) for name in DiscountEntry().fields} | counts


def _check_path(schema: Schema, values: dict[str, str]) -> None:
    """Raise `Problem` 422 for an invalid value in the path. The body is already validated."""
    errors = schema.validate(values)
    if errors:
        raise invalid_request(**errors)
