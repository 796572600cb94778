"""The shop's and the operators' routes."""

from dataclasses import dataclass
from typing import Any

from events.database import Database
from events.web import decode_cursor, encode_cursor, operator_required
from flask import current_app
from flask_smorest import Blueprint

from checkout import catalogue, schemas
from checkout.agreements import Wish
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.inventory_client import StockView
from checkout.models import Checkout, Discount, Product
from checkout.problems import Invalid
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
    after = "".join(map(str, decode_cursor(args["cursor"] or encode_cursor())))
    with parts().database.read() as session:
        found = catalogue.list_products(session, currency, after, args["limit"] + 1)
    page = found[: args["limit"]]
    available = parts().stock.available()
    return {
        "items": [_listed(product, currency) | {"available": available.get(product.sku)} for product in page],
        "next_cursor": encode_cursor(page[-1].sku) if len(found) > len(page) else None,
    }


def _listed(product: Product, currency: str) -> dict[str, Any]:
    names = ("sku", "group", "size", "name", "description", "image")
    shown: dict[str, Any] = {name: getattr(product, name) for name in names}
    return shown | {"unit_amount": product.prices[currency], "currency": currency}


@blueprint.post("/checkout/sessions")
@blueprint.arguments(schemas.KeyHeader, location="headers")
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


@blueprint.post("/checkout/sessions/<checkout_id>/expire")
@blueprint.response(200, schemas.CheckoutStatus)
def give_up_checkout(checkout_id: str) -> Checkout:
    """The customer does not want it: nobody can pay it any more, the stock is free."""
    return parts().checkouts.give_up(checkout_id)


@blueprint.put("/products/<sku>")
@operator_required
@blueprint.arguments(schemas.ProductFields)
@blueprint.response(200, schemas.ProductEntry)
def put_product(values: dict[str, Any], sku: str) -> dict[str, Any]:
    """Make or replace a product; checkouts that are under way keep what they agreed on."""
    errors = schemas.ProductEntry(only=("sku",)).validate({"sku": sku})
    if errors:
        raise Invalid(errors)
    with parts().database.begin() as session:
        catalogue.put(session, Product, sku, values)
    return {"sku": sku, **values}


@blueprint.put("/discounts/<code>")
@operator_required
@blueprint.arguments(schemas.DiscountFields)
@blueprint.response(200, schemas.DiscountEntry)
def put_discount(values: dict[str, Any], code: str) -> dict[str, Any]:
    """Make or replace a discount; its code is the same in capitals and small letters."""
    code = schemas.normal_code(code)
    if not 1 <= len(code) <= schemas.MAX_CODE:
        raise Invalid({"code": [f"Has 1 to {schemas.MAX_CODE} characters."]})
    with parts().database.begin() as session:
        catalogue.put(session, Discount, code, values)
    return {"code": code, **values}
