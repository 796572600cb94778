"""All scenarios in the order of their run."""

from collections.abc import Callable

import httpx

from demo.fake_stripe.errors import StripeError
from demo.scenarios import checkouts, disputes, payments, refunds, reviews, shipments
from demo.scenarios.run import CheckResult, ScenarioRun
from demo.system import System

SCENARIOS: dict[str, Callable[[ScenarioRun], None]] = {
    "card payment": payments.card,
    "bank debit succeeds": payments.delayed_success,
    "bank debit fails": payments.delayed_failure,
    "declined card": payments.declined_card,
    "voucher": payments.voucher,
    "tax": payments.tax,
    "promotion code": payments.promotion_code,
    "abandoned checkout": checkouts.abandoned,
    "canceled checkout": checkouts.canceled,
    "out of stock": checkouts.out_of_stock,
    "discount code": checkouts.discount,
    "two parcels": shipments.two_parcels,
    "refunds": refunds.part_then_rest,
    "canceled order": refunds.canceled_order,
    "failed refund": refunds.failed_refund,
    "lost dispute": disputes.lost,
    "won dispute": disputes.won,
    "appealed dispute": disputes.appealed,
    "fraud review": reviews.fraud_review,
    "oversold order": reviews.oversold,
    "order paid twice": reviews.paid_twice,
}


def run_all(system: System) -> list[CheckResult]:
    """Run all scenarios in turn and return their results.

    An HTTP, Stripe, value or key error ends a scenario and adds a failed result.
    """
    results: list[CheckResult] = []
    for name, scenario in SCENARIOS.items():
        run = ScenarioRun(system, name)
        try:
            scenario(run)
        except (httpx.HTTPError, StripeError, ValueError, KeyError) as error:
            run.results.append(
                CheckResult(name, "The scenario runs to its end", "yes", f"{type(error).__name__}: {error}")
            )
        results += run.results
    return results
