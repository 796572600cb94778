"""Scenarios of checkouts: abandoned, canceled, out of stock, and with a discount."""

import time

from demo.scenarios.run import ScenarioRun, Stock, amount

AMOUNTS = ("amount_subtotal", "amount_discount", "amount_shipping", "amount_total")


def abandoned(run: ScenarioRun) -> None:
    """Leave the payment page until the session expires."""
    sku = "JNS-STR-IND-32"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 1})
    run.check("The jeans are reserved", Stock(before.on_hand, before.reserved + 1), lambda: run.stock(sku))
    run.system.stripe.expire(checkout["session_id"])
    run.check("The order expires", "expired", lambda: run.status(checkout))
    run.check("The jeans are available again", before, lambda: run.stock(sku))
    run.check("The customer gets one reminder", ["abandoned_cart"], run.customer_emails)


def canceled(run: ScenarioRun) -> None:
    """Return from the payment page and cancel."""
    sku = "KNT-CBL-OAT-M"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 1})
    run.system.post("checkout", f"/checkout/sessions/{checkout['checkout_id']}/cancel").raise_for_status()
    run.check("The order is canceled", "canceled", lambda: run.status(checkout))
    run.check("The sweater is available again", before, lambda: run.stock(sku))
    run.check("The customer gets no e-mail", [], run.customer_emails)


def out_of_stock(run: ScenarioRun) -> None:
    """Order more pieces than there are in stock."""
    dress, sock = "DRS-LIN-TER-38", "SOC-MER-SLA-3640"
    dresses, socks = run.stock(dress), run.stock(sock)
    answer = run.request_checkout({dress: dresses.on_hand + 1, sock: 1})
    run.check("The checkout is refused", "HTTP 409", lambda: f"HTTP {answer.status_code}")
    run.check("The answer names the dress", [dress], lambda: [line["sku"] for line in answer.json().get("lines", [])])
    run.check("No dress is reserved", dresses, lambda: run.stock(dress))
    run.check("No socks are reserved", socks, lambda: run.stock(sock))
    run.check("The customer gets no e-mail", [], run.customer_emails)


def discount(run: ScenarioRun) -> None:
    """Pay with a discount code that can be used once."""
    code = f"AUTUMN{time.monotonic_ns()}"
    terms = {"percent_off": 15, "limit_total": 1}
    run.system.operate("PUT", "checkout", f"/catalog/discounts/{code}", terms).raise_for_status()
    checkout = run.start_checkout({"TEE-ORG-WHT-L": 2}, discount_code=code.lower())
    run.check(
        "Subtotal, discount, shipping and total are right",
        [amount(minor) for minor in (3998, 600, 490, 3888)],
        lambda: [amount(checkout[name]) for name in AMOUNTS],
    )
    run.check("The code is held during payment", "0 used, 1 held", lambda: _uses(run, code))
    refused = run.request_checkout({"TEE-ORG-WHT-L": 2}, discount_code=code)
    run.check(
        "No second checkout can use the code",
        ["HTTP 422", "discount_code"],
        lambda: [f"HTTP {refused.status_code}", *refused.json()["errors"]],
    )
    run.pay(checkout)
    run.check("The code is used once", "1 used, 0 held", lambda: _uses(run, code))
    run.check("The order has the discount", amount(600), lambda: amount(run.order_field(checkout, "amount_discount")))
    run.check("The customer gets the confirmation", ["order_confirmed"], run.customer_emails)
    run.check_amounts(checkout)


def _uses(run: ScenarioRun, code: str) -> str:
    entry = run.system.get("checkout", f"/catalog/discounts/{code}", operator=True).raise_for_status().json()
    return f"{entry['used']} used, {entry['held']} held"
