"""The wording of an e-mail: which variants of its texts fit the event, such as `lead_whole` instead of `lead`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from events.messaging.contracts.reviews import ReviewReason
from events.messaging.dispute_status import is_closed, is_inquiry

from notifications.amounts import Data, charged_amounts
from notifications.kinds import Kind
from notifications.refund_amounts import is_disputed, was_refused

WITHOUT_ACTION = frozenset(  # payment methods with which the customer has nothing to do after the payment page
    {"au_becs_debit", "bacs_debit", "card", "link", "sepa_debit"}
)
CORRECT_SUM_REASONS = (  # of reviews: what was paid is what was agreed
    ReviewReason.MISSING_ADDRESS,
    ReviewReason.RADAR_REVIEW,
    ReviewReason.EARLY_FRAUD_WARNING,
)
NEEDS_RESPONSE = (  # dispute statuses: Stripe waits for our evidence
    "needs_response",
    "warning_needs_response",
    "appeal_needs_response",
)
UNDER_REVIEW = (  # dispute statuses: the bank decides, and Stripe takes no evidence
    "under_review",
    "warning_under_review",
    "appeal_under_review",
)


def text_variants(kind: str, data: Data) -> Sequence[str]:
    """Return the variants of a kind's texts that fit, the best one first."""
    choose = VARIANTS.get(kind)
    return [found for found in choose(data) if found] if choose else []


def is_fully_refunded(data: Data) -> bool:
    """Return True if everything that the customer paid is refunded. A duplicate payment counts as paid.

    Return False, too, if nothing was paid, or if a payment or the refund is in another currency: the order's sums do
    not contain amounts in other currencies.
    """
    paid = data.get("amount_paid")
    if (
        paid == 0
        or data.get("has_other_currencies")
        or (data.get("refund_currency") or data["currency"]) != data["currency"]
    ):
        return False
    whole: bool = data["amount_refunded"] >= (charged_amounts(data)["amount_total"] if paid is None else paid)
    return whole


def pieces_left_out(data: Data) -> dict[str, int]:
    """Return the pieces by sku that do not ship any more, such as refunded ones. Empty if that is unknown."""
    if data.get("remaining") is None or data.get("shipped_before") is None:
        return {}
    left = Counter(count_by_sku(data["lines"]))
    for name in ("shipped", "shipped_before", "remaining"):
        left.subtract(count_by_sku(data[name]))
    return {sku: quantity for sku, quantity in left.items() if quantity > 0}


def count_by_sku(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of pieces by sku, with the lines of a sku added up."""
    counted: dict[str, int] = {}
    for line in lines:
        counted[line["sku"]] = counted.get(line["sku"], 0) + line["quantity"]
    return counted


def _pays_by_debit(data: Data) -> bool:
    """Return True if the chosen payment method, or else each offered one, needs nothing more from the customer."""
    method = data.get("payment_method")
    offered = [method] if method else data.get("payment_method_types")
    return bool(offered) and WITHOUT_ACTION.issuperset(offered or ())


def _evidence(data: Data) -> Sequence[str]:
    """Return the variants of an open dispute or of a bank's inquiry, which moves no money and holds no order.

    An unknown status has no variant: the bank may wait for the shop, or not.
    """
    status = data["dispute_status"]
    if status in UNDER_REVIEW:
        act = "waiting"
    elif status in NEEDS_RESPONSE:
        act = "respond" if data.get("evidence_due_by") else "respond_soon"
    else:
        act = ""
    return [act and f"{act}_inquiry", "inquiry", act] if is_inquiry(status) else [act]


def evidence_deadline(data: Data) -> str | None:
    """Return the deadline for the evidence of a dispute, unless the bank decides already or has decided."""
    status = data.get("dispute_status")
    if status is None or status in UNDER_REVIEW or is_closed(status):
        return None
    return data.get("evidence_due_by")


def waits_for_parcel(data: Data) -> bool:
    """Return True if, before a review's decision, pieces were neither shipped nor refunded, or if that is unknown.

    A refund counts once it has succeeded: until then the customer does not know of it.
    """
    unshipped = data.get("unshipped_before")
    return unshipped is None or bool(unshipped)


def _parcel(data: Data) -> str:
    if not data["is_complete"]:
        return "part"
    before = data.get("shipped_before")
    is_single = count_by_sku(data["shipped"]) == count_by_sku(data["lines"]) if before is None else not before
    return "" if is_single else "last"


def _money_left(data: Data) -> str:
    """Return the variant for a canceled order without money to refund, `free` or `refunded`; "" for any other."""
    if data.get("amount_paid") == 0 and charged_amounts(data)["amount_total"] == 0:
        return "free"
    return "refunded" if data.get("amount_refunded") and is_fully_refunded(data) else ""


def _confirmation(data: Data) -> Sequence[str]:
    if data.get("reason") == ReviewReason.DUPLICATE_PAYMENT:
        return ["duplicate_currencies" if data.get("has_other_currencies") else "", "duplicate"]
    return [""] if charged_amounts(data)["amount_total"] else ["free"]


def refunds_only_duplicates(data: Data) -> bool:
    """Return True if a review ended in a refund of duplicate payments only: the order itself does not change."""
    reasons = {data.get("reason"), *(other["reason"] for other in data.get("also_resolved") or ())}
    return data.get("decision") == "refund" and reasons == {ReviewReason.DUPLICATE_PAYMENT}


def _is_partly_lost(data: Data) -> bool:
    withheld = data.get("amount_held")
    return data["dispute_status"] == "lost" and withheld is not None and withheld < data["dispute_amount"]


VARIANTS: Mapping[str, Callable[[Data], Sequence[str]]] = {
    Kind.ORDER_CONFIRMED: _confirmation,
    Kind.PAYMENT_PENDING: lambda data: ["debit" if _pays_by_debit(data) else ""],
    Kind.PAYMENT_INSTRUCTIONS: lambda data: [data.get("payment_method") or ""],
    Kind.ORDER_IN_REVIEW: lambda data: ["duplicate" if data["reason"] == ReviewReason.DUPLICATE_PAYMENT else ""],
    Kind.ORDER_CANCELED: lambda data: (
        ["duplicate"]
        if refunds_only_duplicates(data)
        else [
            _money_left(data),
            "shipped" if data.get("shipped_before") else "",
            data.get("reason") or "",
        ]
    ),
    Kind.ORDER_SHIPPED: lambda data: [_parcel(data)],
    Kind.REFUND_SUCCEEDED: lambda data: ["whole" if is_fully_refunded(data) else ""],
    Kind.STAFF_REVIEW_OPENED: lambda data: ["held" if data["reason"] in CORRECT_SUM_REASONS else data["reason"]],
    Kind.STAFF_ORDER_PAID: lambda data: ["" if charged_amounts(data)["amount_total"] else "free"],
    Kind.STAFF_REVIEW_RESOLVED: lambda data: [
        "refund_duplicate" if refunds_only_duplicates(data) else "",
        data["decision"],
    ],
    Kind.REFUND_FAILED: lambda data: ["disputed" if is_disputed(data) else ""],
    Kind.STAFF_REFUND_FAILED: lambda data: [
        "refused" if was_refused(data) else "disputed" if is_disputed(data) else ""
    ],
    Kind.STAFF_DISPUTE_OPENED: _evidence,
    Kind.STAFF_DISPUTE_UPDATED: _evidence,
    Kind.STAFF_DISPUTE_CLOSED: lambda data: [
        "canceled" if data.get("is_refund_due") else "",
        "partly" if _is_partly_lost(data) else "",
        data["dispute_status"],
    ],
}
