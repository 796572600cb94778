"""Scenarios of payments: by card, bank debit and voucher, with taxes and promotion codes, and a declined card."""

import time
from json import loads
from pathlib import Path

from demo.scenarios.run import ScenarioRun, Stock, amount

CATALOG = Path(__file__).parents[2] / "deploy" / "catalog.json"


def card(run: ScenarioRun) -> None:
    """Pay by card."""
    shirt, beanie = "TEE-ORG-WHT-M", "BEA-RIB-RUS-OS"
    shirts, beanies = run.stock(shirt), run.stock(beanie)
    checkout = run.start_checkout({shirt: 2, beanie: 1})
    run.check("Two T-shirts are reserved during payment", 2, lambda: run.stock(shirt).reserved - shirts.reserved)
    run.system.stripe.pay(checkout["session_id"], "card", run.email)
    run.check("The order is paid", "paid", lambda: run.status(checkout))
    sold = Stock(shirts.on_hand - 2, shirts.reserved)
    run.check("Two T-shirts are sold", sold, lambda: run.stock(shirt))
    sold = Stock(beanies.on_hand - 1, beanies.reserved)
    run.check("One beanie is sold", sold, lambda: run.stock(beanie))
    run.check("The customer gets the confirmation", ["order_confirmed"], run.customer_emails)
    run.check_amounts(checkout)


def delayed_success(run: ScenarioRun) -> None:
    """Pay by bank debit. The bank accepts it later."""
    sku = "HOD-HVY-FOR-M"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 1})
    run.system.stripe.pay(checkout["session_id"], "sepa_success", run.email)
    run.check("The order waits for the bank", "payment_pending", lambda: run.status(checkout))
    run.check("The hoodie stays reserved", Stock(before.on_hand, before.reserved + 1), lambda: run.stock(sku))
    run.check("The customer learns that the payment is pending", ["payment_pending"], run.customer_emails)
    run.system.stripe.settle(checkout["session_id"])
    run.check("The order is paid", "paid", lambda: run.status(checkout))
    run.check("One hoodie is sold", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(sku))
    run.check("The customer also gets the confirmation", ["order_confirmed", "payment_pending"], run.customer_emails)
    run.check_amounts(checkout)


def delayed_failure(run: ScenarioRun) -> None:
    """Pay by bank debit. The bank refuses it later."""
    sku = "HOD-HVY-FOR-L"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 1})
    run.system.stripe.pay(checkout["session_id"], "sepa_fail", run.email)
    run.check("The order waits for the bank", "payment_pending", lambda: run.status(checkout))
    run.system.stripe.settle(checkout["session_id"])
    run.check("The payment fails", "payment_failed", lambda: run.status(checkout))
    run.check("The hoodie is available again", before, lambda: run.stock(sku))
    run.check("The customer learns of the failure", ["payment_failed", "payment_pending"], run.customer_emails)


def declined_card(run: ScenarioRun) -> None:
    """Pay with a card that is declined, then with one that succeeds."""
    sku = "CHN-PLT-KHA-32"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 1})
    run.check("The first card is declined", "Your card was declined.", lambda: run.pay_with_declined_card(checkout))
    run.check("The order shows the failed attempt", 1, lambda: _attempts(run, checkout))
    run.check("The order stays open", "open", lambda: run.status(checkout))
    run.system.stripe.pay(checkout["session_id"], "card", run.email)
    run.check("The second card pays the order", "paid", lambda: run.status(checkout))
    run.check("One pair of chinos is sold", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(sku))
    run.check("The customer gets only the confirmation", ["order_confirmed"], run.customer_emails)


def voucher(run: ScenarioRun) -> None:
    """Finish the checkout with a voucher, and pay it later at a store."""
    checkout = run.start_checkout({"SHT-OXF-BLU-M": 1})
    run.system.stripe.pay(checkout["session_id"], "voucher", run.email)
    run.check("The order waits for the voucher", "payment_pending", lambda: run.status(checkout))
    total = amount(checkout["amount_total"])
    run.check_email_says("The customer gets the voucher", "payment_instructions", total, "/voucher/pi_", "Pay by:")
    run.system.stripe.settle(checkout["session_id"])
    run.check("The order is paid", "paid", lambda: run.status(checkout))
    run.check_email_says("The customer also gets the confirmation", "order_confirmed", f"payment of {total}")
    run.check_amounts(checkout)


def tax(run: ScenarioRun) -> None:
    """Pay a tax that Stripe adds to the prices."""
    sku = "SHT-OXF-BLU-S"
    rate = run.system.stripe.create("tax_rates", {"display_name": "VAT", "percentage": "19", "inclusive": "false"})
    shirt = next(product for product in loads(CATALOG.read_text("utf-8"))["products"] if product["sku"] == sku)
    fields = {name: value for name, value in shirt.items() if name not in ("sku", "stock")}
    taxed = {**fields, "tax_rates": [rate["id"]]}
    run.system.operate("PUT", "checkout", f"/catalog/products/{sku}", taxed).raise_for_status()
    checkout = run.start_checkout({sku: 1})
    run.system.operate("PUT", "checkout", f"/catalog/products/{sku}", fields).raise_for_status()
    run.pay(checkout)
    tax_amount = 1121  # 19 % of 59.00
    total = checkout["amount_total"] + tax_amount
    run.check("Stripe charges the tax, too", amount(total), lambda: _charged_at_stripe(run, checkout))
    run.check(
        "The success page shows tax and total",
        [amount(tax_amount), amount(total)],
        lambda: [amount(run.success_page(checkout).get(name, 0)) for name in ("amount_tax", "amount_total")],
    )
    words = f"payment of {amount(total)}", f"Tax: {amount(tax_amount)}", f"Total: {amount(total)}"
    run.check_email_says("The confirmation shows tax and total", "order_confirmed", *words)


def promotion_code(run: ScenarioRun) -> None:
    """Enter a promotion code on Stripe's page."""
    checkout = run.start_checkout({"TEE-ORG-WHT-M": 2})
    coupon = run.system.stripe.create("coupons", {"amount_off": "800", "currency": "eur", "duration": "once"})
    name = f"CARDIGAN{time.monotonic_ns()}"
    code = {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"], "code": name}
    run.system.stripe.create("promotion_codes", code)
    run.system.stripe.pay(checkout["session_id"], "card", run.email, promotion_code=name)
    run.check("The order is paid", "paid", lambda: run.status(checkout))
    total = checkout["amount_total"] - 800
    run.check("Stripe charges less", amount(total), lambda: _charged_at_stripe(run, checkout))
    run.check(
        "The success page shows discount and total",
        [amount(800), amount(total)],
        lambda: [amount(run.success_page(checkout).get(name, 0)) for name in ("amount_discount", "amount_total")],
    )
    words = f"payment of {amount(total)}", f"Discount: -{amount(800)}", f"Total: {amount(total)}"
    run.check_email_says("The confirmation shows discount and total", "order_confirmed", *words)


def _charged_at_stripe(run: ScenarioRun, checkout: dict[str, object]) -> str:
    intent = run.system.stripe.session(str(checkout["session_id"]))["payment_intent"]
    charges = [charge for charge in run.system.stripe.ledger["charges"] if charge["payment_intent"] == intent]
    return amount(sum(charge["amount_captured"] for charge in charges))


def _attempts(run: ScenarioRun, checkout: dict[str, object]) -> int:
    return len(run.order_field(checkout, "attempts")) if run.status(checkout) else 0
