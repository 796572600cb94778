"""The catalog: products, discounts and shipping options, written from a file or by operators."""

from collections.abc import Mapping, Sequence
from typing import Any

from events.database.engine import Database
from events.database.transaction import insert_once
from sqlalchemy import ColumnElement, cast, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from checkout.errors import DiscountNotFoundError
from checkout.models import Discount, Product, ShippingOption
from checkout.schemas.catalog import Catalog
from checkout.schemas.shared import normalize_code

Entry = Product | Discount | ShippingOption


def list_products(session: Session, currency: str, after: str, limit: int) -> Sequence[Product]:
    """Return at most `limit` active products with a price in the currency, sorted by sku, after the sku `after`."""
    statement = (
        select(Product)
        .where(Product.active, Product.sku > after, _has_price(session, currency))
        .order_by(Product.sku)
        .limit(limit)
    )
    return session.scalars(statement).all()


def _has_price(session: Session, currency: str) -> ColumnElement[bool]:
    """Return the condition that a product has a price in the currency.

    In PostgreSQL's form an index serves it. Without the index, a request for a rare currency would read all products.
    """
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    condition: ColumnElement[bool] = (
        cast(Product.prices, JSONB).has_key(currency)
        if is_postgresql
        else Product.prices[currency].as_integer().is_not(None)
    )
    return condition


def list_discounts(session: Session, after: str, limit: int) -> Sequence[Discount]:
    """Return at most `limit` discounts, sorted by code, after the code `after`."""
    return session.scalars(select(Discount).where(Discount.code > after).order_by(Discount.code).limit(limit)).all()


def get_discount(session: Session, code: str) -> Discount:
    """Return a discount. Raises `DiscountNotFoundError`."""
    discount = session.get(Discount, code)
    if discount is None:
        raise DiscountNotFoundError
    return discount


def put_entry(session: Session, model: type[Entry], key: str, values: Mapping[str, Any]) -> None:
    """Insert an entry of the catalog, or replace the one with this key."""
    column = model.__mapper__.primary_key[0]
    if not insert_once(session, model, **{column.name: key}, **values):
        session.execute(update(model).where(column == key).values(**values))


def seed(database: Database, document: Mapping[str, Any]) -> None:
    """Insert or replace every entry of a catalog file. Entries that the file does not name stay as they are.

    Raises marshmallow's `ValidationError` if the document is not a catalog.
    """
    loaded = Catalog().load(document)
    with database.begin() as session:
        for product in loaded["products"]:
            put_entry(session, Product, product.pop("sku"), product)
        for discount in loaded["discounts"]:
            put_entry(session, Discount, normalize_code(discount.pop("code")), discount)
        for option in loaded["shipping_options"]:
            put_entry(session, ShippingOption, option.pop("id"), option)
