"""Every domain error has a problem."""

from orders.errors import DomainError, OrderNeedsReviewError, RefundExceedsPaymentError
from orders.problems import PROBLEMS


def test_every_domain_error_has_a_problem() -> None:
    assert PROBLEMS.keys() == {*DomainError.__subclasses__()}


def test_exhausted_payment_and_smaller_rest_differ() -> None:
    rest, nothing = (
        PROBLEMS[RefundExceedsPaymentError](RefundExceedsPaymentError("pi_1", left, "eur")) for left in (1000, 0)
    )
    assert rest.detail.startswith("Only 10.00 EUR of pi_1 can still be refunded.")
    assert nothing.detail.startswith("Nothing of pi_1 can still be refunded.")


def test_review_problem_names_the_route_that_resolves_it() -> None:
    problem = PROBLEMS[OrderNeedsReviewError](
        OrderNeedsReviewError("ord_1", "CL-1", "oversold", "Not in stock: 1 of 2 x TEE-M.")
    )
    assert problem.detail == (
        "Order CL-1 has an open review (oversold). Not in stock: 1 of 2 x TEE-M."
        " First resolve the review with POST /orders/ord_1/review."
    )
