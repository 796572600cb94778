"""What is sold: products, discounts and ways of shipping, put in by a file or by operators."""

from collections.abc import Mapping, Sequence
from typing import Any

from events.database.engine import Database
from events.database.transaction import insert_once
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from checkout import schemas
from checkout.models import Discount, Product, ShippingOption

Entry = Product | Discount | ShippingOption


def list_products(session: Session, currency: str, after: str, limit: int) -> Sequence[Product]:
    """Active products with a price in the currency, by sku, beginning behind `after`."""
    statement = (
        select(Product)
        .where(Product.active, Product.sku > after, Product.prices[currency].as_integer().is_not(None))
        .order_by(Product.sku)
        .limit(limit)
    )
    return session.scalars(statement).all()


def list_discounts(session: Session, after: str, limit: int) -> Sequence[Discount]:
    """By code, beginning behind `after`."""
    return session.scalars(select(Discount).where(Discount.code > after).order_by(Discount.code).limit(limit)).all()


def put(session: Session, model: type[Entry], key: str, values: Mapping[str, Any]) -> bool:
    """Make or replace an entry of the catalogue; True if it was made."""
    column = model.__mapper__.primary_key[0]
    if insert_once(session, model, **{column.name: key}, **values):
        return True
    session.execute(update(model).where(column == key).values(**values))
    return False


def seed(database: Database, document: Mapping[str, Any]) -> None:
    """Put a whole catalogue in, again and again if need be; what it does not name stays as it is.

    Raises marshmallow's `ValidationError` for a document that is not a catalogue.
    """
    loaded = schemas.Catalogue().load(document)
    with database.begin() as session:
        for product in loaded["products"]:
            put(session, Product, product.pop("sku"), product)
        for discount in loaded["discounts"]:
            put(session, Discount, schemas.normal_code(discount.pop("code")), discount)
        for option in loaded["shipping_options"]:
            put(session, ShippingOption, option.pop("id"), option)
