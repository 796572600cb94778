"""Products, prices, shipping rates, coupons and promotion codes, and the rules for creating them."""

from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .money import format_amount
from .objects import catalog as objects
from .store import Object
from .totals import amount_off, check_step


def create_product(account: Account, params: Object, cause: Cause) -> Object:
    """Create a product and emit `product.created`."""
    product = account.store.add(objects.product(account.now(), params))
    account.emit("product.created", product, cause=cause)
    return product


def delete_product(account: Account, _params: Object, product_id: str, cause: Cause) -> Object:
    """Delete a product and emit `product.deleted`. Raise `StripeError` if it has prices."""
    product = account.store.get("product", product_id)
    if any(price["product"] == product_id for price in account.store.all("price")):
        raise StripeError("This product cannot be deleted because it has one or more user-created prices.", param="id")
    account.store.remove("product", product_id)
    account.emit("product.deleted", product, cause=cause)
    return {"id": product_id, "object": "product", "deleted": True}


def create_price(account: Account, params: Object, cause: Cause) -> Object:
    """Create a price, and its product if `product_data` describes one. Emit `price.created`.

    Raise `StripeError` for an amount or a product that Stripe refuses.
    """
    price = _add_price(account, params, "")
    account.emit("price.created", price, cause=cause)
    return price


def create_line_item(account: Account, given: Object, name: str) -> Object:
    """Return a session's line for a price or for price data. Price data creates an inactive price and product.

    `name` is the parameter's name in errors. Raise `StripeError` for an inactive, recurring, unknown or missing price.
    """
    if ("price" in given) == ("price_data" in given):
        message = f"You must specify either `price` or `price_data` when creating {name}."
        raise StripeError(message, code="parameter_missing", param=name)
    if "price_data" in given:
        price = _add_price(account, {**given["price_data"], "active": False}, f"{name}[price_data]")
    else:
        price = account.store.get("price", given["price"], f"{name}[price]")
        if not price["active"]:
            message = "The price specified is inactive. This field only accepts active prices."
            raise StripeError(message, param=f"{name}[price]")
    if price["recurring"]:
        message = "You specified `payment` mode but passed a recurring price."
        raise StripeError(message, param=f"{name}[price]")
    return objects.line_item(price, account.store.get("product", price["product"]), given)


def _add_price(account: Account, params: Object, name: str) -> Object:
    def param(field: str) -> str:
        return f"{name}[{field}]" if name else field

    if ("product" in params) == ("product_data" in params):
        message = "You must specify either `product` or `product_data` when creating a price."
        raise StripeError(message, code="parameter_missing", param=param("product"))
    check_step(params["unit_amount"], params["currency"], param("unit_amount"))
    if "product_data" in params:
        data = {**params["product_data"], "active": params.get("active", True)}
        product = account.store.add(objects.product(account.now(), data))
    else:
        product = account.store.get("product", params["product"], param("product"))
    return account.store.add(objects.price(account.now(), product["id"], params))


def create_shipping_rate(account: Account, params: Object, _cause: Cause = AUTOMATIC) -> Object:
    """Create a shipping rate, which emits no event. Raise `StripeError` if it has no amount."""
    if "fixed_amount" not in params:
        raise StripeError("Missing required param: fixed_amount.", code="parameter_missing", param="fixed_amount")
    return account.store.add(objects.shipping_rate(account.now(), params))


def create_coupon(account: Account, params: Object, cause: Cause) -> Object:
    """Create a coupon for a percentage or for an amount, and emit `coupon.created`.

    Raise `StripeError` if both or none of these are given, or for a wrong percentage, a missing currency, a used id or
    an unknown product.
    """
    if ("percent_off" in params) == ("amount_off" in params):
        raise StripeError("You must provide either percent_off or amount_off.", param="percent_off")
    if "amount_off" in params and "currency" not in params:
        raise StripeError("Missing required param: currency.", code="parameter_missing", param="currency")
    if not 0 < params.get("percent_off", 1) <= 100:
        raise StripeError("percent_off must be above 0 and at most 100.", param="percent_off")
    if any(coupon["id"] == params.get("id") for coupon in account.store.all("coupon")):
        raise StripeError("Coupon already exists.", code="resource_already_exists", param="id")
    products = params.get("applies_to", {}).get("products", [])
    for position, product_id in enumerate(products):
        account.store.get("product", product_id, f"applies_to[products][{position}]")
    coupon = account.store.add(objects.coupon(account.now(), params))
    if products:
        account.store.coupon_products[coupon["id"]] = products
    account.emit("coupon.created", coupon, cause=cause)
    return coupon


def create_promotion_code(account: Account, params: Object, cause: Cause) -> Object:
    """Create a promotion code and emit `promotion_code.created`.

    Raise `StripeError` if an active promotion code has the same `code`, or if its coupon does not exist.
    """
    account.store.get("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    if any(
        known["code"].lower() == params.get("code", "").lower()
        for known in account.store.all("promotion_code")
        if known["active"]
    ):
        message = "An active promotion code with `code: {}` already exists.".format(params["code"])
        raise StripeError(message, code="resource_already_exists", param="code")
    code = account.store.add(objects.promotion_code(account.now(), params))
    account.emit("promotion_code.created", code, cause=cause)
    return code


def get_valid_coupon(account: Account, discount: Object, currency: str, lines: list[Object]) -> Object:
    """Return the coupon of one entry in a session's `discounts`.

    Raise `StripeError` if the coupon or its promotion code is not valid now, or not for this currency and these lines.
    """
    coupon_id, subtotal = discount.get("coupon"), sum(line["amount_subtotal"] for line in lines)
    if code_id := discount.get("promotion_code"):
        code = account.store.get("promotion_code", code_id, "discounts[0][promotion_code]")
        _check_code(account, code, currency, subtotal)
        coupon_id = code["promotion"]["coupon"]
    if not coupon_id:
        raise StripeError("A discount needs a coupon or a promotion code.", param="discounts[0]")
    coupon = account.store.get("coupon", coupon_id, "discounts[0][coupon]")
    if _is_past(account, coupon["redeem_by"]) or _is_used_up(coupon):
        raise StripeError(f"Coupon expired: {coupon_id}", code="coupon_expired", param="discounts[0][coupon]")
    if coupon["amount_off"] is not None and amount_off(coupon, currency) is None:
        message = f"The coupon {coupon_id} is in {coupon['currency']}, the session in {currency}."
        raise StripeError(message, param="discounts[0][coupon]")
    if not any(discountable_amounts(account, coupon, lines)):
        message = "This coupon cannot be redeemed because it does not apply to anything in this order."
        raise StripeError(message, param="discounts[0][coupon]")
    return coupon


def discountable_amounts(account: Account, coupon: Object, lines: list[Object]) -> list[int]:
    """Return each line's amount that the coupon can reduce, in minor units: 0 if the coupon is for other products."""
    products = account.store.coupon_products.get(coupon["id"])
    return [
        line["amount_subtotal"] if products is None or line["price"]["product"] in products else 0 for line in lines
    ]


def _check_code(account: Account, code: Object, currency: str, subtotal: int) -> None:
    if not code["active"] or _is_past(account, code["expires_at"]) or _is_used_up(code):
        raise StripeError("This promotion code is not active.", param="discounts[0][promotion_code]")
    limits = code["restrictions"]
    if limits["minimum_amount"] is None:
        return
    if currency != limits["minimum_amount_currency"] or subtotal < limits["minimum_amount"]:
        minimum = format_amount(limits["minimum_amount"], limits["minimum_amount_currency"])
        raise StripeError(f"This promotion code is for orders of {minimum} or more.", param="promotion_code")


def redeem(account: Account, session: Object) -> None:
    """Count one use of each discount of a completed session."""
    for discount in session["discounts"]:
        for kind in ("coupon", "promotion_code"):
            if discount[kind] and (redeemed := account.store.find(discount[kind])):
                redeemed["times_redeemed"] += 1
                if kind == "coupon":
                    redeemed["valid"] = not _is_used_up(redeemed)


def _is_past(account: Account, timestamp: int | None) -> bool:
    return timestamp is not None and timestamp <= account.now()


def _is_used_up(redeemable: Object) -> bool:
    maximum = redeemable["max_redemptions"]
    return maximum is not None and redeemable["times_redeemed"] >= maximum
