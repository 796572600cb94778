"""The shop's and the operators' routes."""

from dataclasses import dataclass
from typing import Any

from events.database.engine import Database
from events.web.auth import operator_required
from events.web.idempotency import KeyHeader
from events.web.pagination import PageArgs, decode_cursor, page
from flask import current_app
from flask_smorest import Blueprint
from marshmallow import Schema
from sqlalchemy.orm import Session

from checkout import catalogue, discounts, schemas, shipping
from checkout.agreements import Wish
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.inventory_client import StockView
from checkout.models import Checkout, Discount, Product, ShippingOption
from checkout.problems import DiscountNotFound, Invalid
from checkout.redirects import is_ours

blueprint = Blueprint("checkout", __name__)


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    config: Config
    database: Database
    checkouts: Checkouts
    stock: StockView


def parts() -> Parts:
    found: Parts = current_app.extensions["clozit"]
    return found


@blueprint.get("/products")
@blueprint.arguments(schemas.ProductArgs, location="query")
@blueprint.response(200, schemas.ProductPage)
def list_products(args: dict[str, Any]) -> dict[str, Any]:
    """What is for sale in a currency, by sku."""
    currency = args["currency"] or parts().config.default_currency
    (after,) = decode_cursor(args["cursor"], str) or ("",)
    with parts().database.read() as session:
        found = catalogue.list_products(session, currency, after, args["limit"] + 1)
    listed = page(found, args["limit"], "sku")
    available = parts().stock.available()
    items = [_listed(product, currency) | {"available": available.get(product.sku)} for product in listed["items"]]
    return listed | {"items": items}


def _listed(product: Product, currency: str) -> dict[str, Any]:
    names = ("sku", "group", "size", "name", "description", "image")
    shown: dict[str, Any] = {name: getattr(product, name) for name in names}
    return shown | {"unit_amount": product.prices[currency], "currency": currency}


@blueprint.post("/checkout/sessions")
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.NewCheckout)
@blueprint.response(201, schemas.StartedCheckout)
def start_checkout(headers: dict[str, Any], wish: Wish) -> Checkout:
    """Reserve the cart and get the address of the page to pay it; the same one for the same Idempotency-Key."""
    _check_redirects(wish, parts().config)
    return parts().checkouts.start(wish, headers["key"])


def _check_redirects(wish: Wish, config: Config) -> None:
    urls = {"success_url": wish.success_url, "cancel_url": wish.cancel_url}
    foreign = [name for name, url in urls.items() if url and not is_ours(url, config.origins)]
    if foreign:
        raise Invalid({name: ["Must be an address of the shop."] for name in foreign})


@blueprint.get("/checkout/sessions/<checkout_id>")
@blueprint.response(200, schemas.CheckoutStatus)
def show_checkout(checkout_id: str) -> Checkout:
    """How far a checkout is."""
    return parts().checkouts.get(checkout_id)


@blueprint.post("/checkout/sessions/<checkout_id>/cancel")
@blueprint.response(200, schemas.CheckoutStatus)
def give_up_checkout(checkout_id: str) -> Checkout:
    """The customer does not want it: nobody can pay it any more, the stock is free."""
    return parts().checkouts.give_up(checkout_id)


@blueprint.put("/catalog/products/<sku>")
@operator_required
@blueprint.arguments(schemas.ProductFields)
@blueprint.response(200, schemas.ProductEntry)
def put_product(values: dict[str, Any], sku: str) -> dict[str, Any]:
    """Make or replace a product; checkouts that are under way keep what they agreed on."""
    _check(schemas.ProductEntry(only=("sku",)), {"sku": sku})
    with parts().database.begin() as session:
        catalogue.put(session, Product, sku, values)
    return {"sku": sku, **values}


@blueprint.get("/shipping-options")
@blueprint.arguments(schemas.ShippingArgs, location="query")
@blueprint.response(200, schemas.OfferedShippingList)
def list_shipping(args: dict[str, Any]) -> dict[str, Any]:
    """How the goods can be sent, and for how much in a currency; the cheapest first."""
    currency = args["currency"] or parts().config.default_currency
    with parts().database.read() as session:
        options = shipping.offered(session, currency)
    return {"items": [_offered(option, currency) for option in options]}


def _offered(option: ShippingOption, currency: str) -> dict[str, Any]:
    shown: dict[str, Any] = {name: getattr(option, name) for name in ("id", "name", "min_days", "max_days")}
    return shown | {
        "currency": currency,
        "amount": option.amounts[currency],
        "free_from": option.free_from.get(currency),
        "countries": option.countries or parts().config.shipping_countries,
    }


@blueprint.put("/catalog/shipping-options/<option_id>")
@operator_required
@blueprint.arguments(schemas.ShippingFields)
@blueprint.response(200, schemas.ShippingEntry)
def put_shipping(values: dict[str, Any], option_id: str) -> dict[str, Any]:
    """Make or replace a way of shipping; checkouts that are under way keep what they agreed on."""
    _check(schemas.ShippingId(), {"id": option_id})
    with parts().database.begin() as session:
        catalogue.put(session, ShippingOption, option_id, values)
    return {"id": option_id, **values}


@blueprint.get("/catalog/discounts")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.DiscountPage)
def list_discounts(args: dict[str, Any]) -> dict[str, Any]:
    """All discounts by code, with how often each was used."""
    (after,) = decode_cursor(args["cursor"], str) or ("",)
    with parts().database.read() as session:
        listed = page(catalogue.list_discounts(session, after, args["limit"] + 1), args["limit"], "code")
        counts = discounts.counts(session, [discount.code for discount in listed["items"]])
    return listed | {"items": [_counted(discount, counts[discount.code]) for discount in listed["items"]]}


@blueprint.get("/catalog/discounts/<code>")
@operator_required
@blueprint.response(200, schemas.DiscountEntry)
def show_discount(code: str) -> dict[str, Any]:
    """One discount, with how often it was used."""
    with parts().database.read() as session:
        return _shown(session, schemas.normal_code(code))


@blueprint.put("/catalog/discounts/<code>")
@operator_required
@blueprint.arguments(schemas.DiscountFields)
@blueprint.response(200, schemas.DiscountEntry)
def put_discount(values: dict[str, Any], code: str) -> dict[str, Any]:
    """Make or replace a discount, but for how often it was used; its code is the same in capitals and small letters."""
    code = schemas.normal_code(code)
    _check(schemas.DiscountCode(), {"code": code})
    with parts().database.begin() as session:
        catalogue.put(session, Discount, code, values)
        session.expire_all()
        return _shown(session, code)


def _shown(session: Session, code: str) -> dict[str, Any]:
    discount = session.get(Discount, code)
    if discount is None:
        raise DiscountNotFound
    return _counted(discount, discounts.counts(session, [code])[code])


def _counted(discount: Discount, counts: dict[str, int]) -> dict[str, Any]:
    return {name: getattr(discount, name, None) for name in schemas.DiscountEntry().fields} | counts


def _check(schema: Schema, values: dict[str, str]) -> None:
    """What comes in the path; the body has been checked."""
    errors = schema.validate(values)
    if errors:
        raise Invalid(errors)
