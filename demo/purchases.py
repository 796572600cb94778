"""Scenarios up to the payment: each way in which a customer pays, or does not."""

import time

from demo.playing import Play


def card(play: Play) -> None:
    """Pays by card."""
    shirts = {"TEE-ORG-WHT-M": 2, "BEA-RIB-RUS-OS": 1}
    before = {sku: play.stock(sku) for sku in shirts}
    bought = play.buy(shirts)
    play.check("reserved while paying", 2, lambda: play.stock("TEE-ORG-WHT-M")[1] - before["TEE-ORG-WHT-M"][1])
    play.system.stripe.pay(bought["session_id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(bought))
    for sku, quantity in shirts.items():
        after = (before[sku][0] - quantity, before[sku][1])
        play.check(f"stock {sku}", after, lambda sku=sku: play.stock(sku))  # type: ignore[misc]
    play.check("e-mails", ["order_confirmed"], play.mails)
    play.check_sums(bought)


def delayed(play: Play) -> None:
    """Pays by SEPA debit; the money comes later."""
    before = play.stock("HOD-HVY-FOR-M")
    bought = play.buy({"HOD-HVY-FOR-M": 1})
    play.system.stripe.pay(bought["session_id"], "sepa_success", play.email)
    play.check("order while pending", "payment_pending", lambda: play.status(bought))
    play.check("stock while pending", (before[0], before[1] + 1), lambda: play.stock("HOD-HVY-FOR-M"))
    play.check("e-mail while pending", ["payment_pending"], play.mails)
    play.system.stripe.settle(bought["session_id"])
    play.check("order", "paid", lambda: play.status(bought))
    play.check("stock", (before[0] - 1, before[1]), lambda: play.stock("HOD-HVY-FOR-M"))
    play.check("e-mails", ["order_confirmed", "payment_pending"], play.mails)
    play.check_sums(bought)


def delayed_failure(play: Play) -> None:
    """Pays by SEPA debit; the bank refuses later."""
    before = play.stock("HOD-HVY-FOR-L")
    bought = play.buy({"HOD-HVY-FOR-L": 1})
    play.system.stripe.pay(bought["session_id"], "sepa_fail", play.email)
    play.check("order while pending", "payment_pending", lambda: play.status(bought))
    play.system.stripe.settle(bought["session_id"])
    play.check("order", "payment_failed", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("HOD-HVY-FOR-L"))
    play.check("e-mails", ["payment_failed", "payment_pending"], play.mails)


def declined(play: Play) -> None:
    """A card is declined; the next one pays."""
    before = play.stock("CHN-PLT-KHA-32")
    bought = play.buy({"CHN-PLT-KHA-32": 1})
    play.check("card", "Your card was declined.", lambda: play.pay_declined(bought))
    play.check("attempts noted", 1, lambda: len(play.order(bought)["attempts"]) if play.status(bought) else 0)
    play.check("order after the decline", "open", lambda: play.status(bought))
    play.system.stripe.pay(bought["session_id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(bought))
    play.check("stock", (before[0] - 1, before[1]), lambda: play.stock("CHN-PLT-KHA-32"))
    play.check("e-mails", ["order_confirmed"], play.mails)


def abandoned(play: Play) -> None:
    """Leaves the payment page until it expires."""
    before = play.stock("JNS-STR-IND-32")
    bought = play.buy({"JNS-STR-IND-32": 1})
    play.check("reserved", (before[0], before[1] + 1), lambda: play.stock("JNS-STR-IND-32"))
    play.system.stripe.expire(bought["session_id"])
    play.check("order", "expired", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("JNS-STR-IND-32"))
    play.check("e-mails", ["abandoned_cart"], play.mails)


def canceled(play: Play) -> None:
    """Comes back from the payment page and gives up."""
    before = play.stock("KNT-CBL-OAT-M")
    bought = play.buy({"KNT-CBL-OAT-M": 1})
    play.system.post("checkout", f"/checkout/sessions/{bought['checkout_id']}/cancel").raise_for_status()
    play.check("order", "canceled", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("KNT-CBL-OAT-M"))
    play.check("e-mails", [], play.mails)


def out_of_stock(play: Play) -> None:
    """Wants more than there is."""
    before = play.stock("DRS-LIN-TER-38")
    wanted = {"DRS-LIN-TER-38": before[0] + 1, "SOC-MER-SLA-3640": 1}
    socks = play.stock("SOC-MER-SLA-3640")
    answer = play.try_to_buy(wanted)
    play.check("answer", 409, lambda: answer.status_code)
    play.check("short lines", ["DRS-LIN-TER-38"], lambda: [line["sku"] for line in answer.json().get("lines", [])])
    play.check("stock of the short line", before, lambda: play.stock("DRS-LIN-TER-38"))
    play.check("stock of the other line", socks, lambda: play.stock("SOC-MER-SLA-3640"))
    play.check("e-mails", [], play.mails)


def discount(play: Play) -> None:
    """Pays with a discount code."""
    code = f"AUTUMN{time.monotonic_ns()}"
    terms = {"percent_off": 15, "limit_total": 1}
    play.system.operate("PUT", "checkout", f"/catalog/discounts/{code}", terms).raise_for_status()
    bought = play.buy({"TEE-ORG-WHT-L": 2}, discount_code=code.lower())
    agreed = (3998, 600, 490, 3888)
    parts = ("amount_subtotal", "amount_discount", "amount_shipping", "amount_total")
    play.check("agreed", agreed, lambda: tuple(bought[part] for part in parts))
    uses = f"/catalog/discounts/{code}"
    play.check("held while paying", (0, 1), lambda: _uses(play, uses))
    refused = play.try_to_buy({"TEE-ORG-WHT-L": 2}, discount_code=code)
    play.check(
        "not for a second customer",
        (422, ["discount_code"]),
        lambda: (refused.status_code, [*refused.json()["errors"]]),
    )
    play.pay(bought)
    play.check("used", (1, 0), lambda: _uses(play, uses))
    play.check("discount booked", 600, lambda: play.fact(bought, "amount_discount"))
    play.check("e-mails", ["order_confirmed"], play.mails)
    play.check_sums(bought)


def _uses(play: Play, path: str) -> tuple[int, int]:
    """(used, held) of a discount."""
    entry = play.system.get("checkout", path, operator=True).raise_for_status().json()
    return entry["used"], entry["held"]
