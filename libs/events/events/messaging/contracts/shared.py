"""The parts of several contracts: the base of all schemas, references, amounts, lines and pieces."""

from marshmallow import EXCLUDE, Schema, fields, validate


class Contract(Schema):
    """A schema that ignores fields of newer publishers. Nested schemas must derive from it, too."""

    class Meta:
        unknown = EXCLUDE


class Line(Contract):
    """One line of a cart: `quantity` pieces of one sku."""

    sku = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    unit_amount = fields.Integer(required=True, strict=True)
    amount_total = fields.Integer(required=True, strict=True)


class Amounts(Contract):
    """The amounts of a checkout: total = subtotal - discount + shipping, without taxes that Stripe adds."""

    currency = fields.String(required=True, validate=validate.Regexp(r"^[a-z]{3}$"))
    amount_subtotal = fields.Integer(required=True, strict=True)
    amount_discount = fields.Integer(required=True, strict=True)
    amount_shipping = fields.Integer(required=True, strict=True)
    amount_total = fields.Integer(required=True, strict=True)


class CheckoutRef(Contract):
    """A checkout and one of its Stripe sessions."""

    checkout_id = fields.String(required=True)
    session_id = fields.String(required=True)


class Pieces(Contract):
    """`quantity` pieces of one sku."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
