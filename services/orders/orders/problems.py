"""What the orders' callers can act on."""

from events.web.problems import Problem


def order_not_found(order_id: str) -> Problem:
    return Problem(404, "order-not-found", f"There is no order {order_id}.")
