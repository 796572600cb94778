"""Scenarios of payments: by card, by bank debit, and with a declined card."""

from demo.scenarios.run import ScenarioRun, Stock


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


def _attempts(run: ScenarioRun, checkout: dict[str, object]) -> int:
    return len(run.order_field(checkout, "attempts")) if run.status(checkout) else 0
