"""What the orders' callers can act on."""

from typing import Any

from events.web.problems import Problem


def order_not_found(order_id: str) -> Problem:
    return Problem(404, "order-not-found", f"There is no order {order_id}.")


def field_errors(**errors: Any) -> Problem:
    """What is wrong with the request, by field; beyond what its schema can tell."""
    return Problem(422, "invalid-request", "Some fields are not right.", errors=errors)


def key_required() -> Problem:
    detail = "Send an Idempotency-Key header: one for each wish, the same one when you repeat it."
    return Problem(400, "idempotency-key-required", detail)
