"""The processor of refund requests: it stores a request, calls Stripe outside the transaction and books the answer.

The process may die between any two of these steps. After the lease, the worker looks for the refund at Stripe. If there
is none, the worker sends the request again under the same key. Stripe's events may arrive at any time in between.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import skip_locked
from events.messaging.contracts.refunds import RefundStatus
from events.money import format_amount
from events.observability.logging import get_logger
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.goods import update_fulfillment
from orders.models.orders import Order
from orders.models.refunds import RefundRequest
from orders.models.timeline import EntryKind
from orders.publishing import publish, publish_paid_order
from orders.refunds.booking import book_refund
from orders.refunds.charged_lines import fetch_charged_lines
from orders.refunds.gateway import RefundGateway, RefundRefusedError, StripeAwayError, StripeUnauthorizedError
from orders.refunds.requests import SENDING_LEASE, RefundParams, create_request, find_request
from orders.repository import lock_order
from orders.returns import publish_returns
from orders.stripe_objects import StripeObject
from orders.timeline import add_entry

# A timeout is often over soon. Stripe repeats a stored 500 to the same key for 24 hours: frequent retries are useless.
RETRY_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (15, 60, 300, 1800, 3600))

SENDING_BUDGET_S = 2.0  # after which an operator does not wait for another call: one order can have many payments

log = get_logger(__name__)


class RefundProcessor:
    """The processor that stores refund requests and sends them to Stripe until Stripe answers."""

    def __init__(self, database: Database, gateway: RefundGateway) -> None:
        self._database, self._gateway = database, gateway

    def request_refund(self, order_id: str, params: RefundParams, key: str, actor: str) -> RefundRequest:
        """Store a refund request and send it to Stripe, once per key. Return it, with Stripe's answer if there is one.

        Raises the errors of `find_request`, `create_request` and `lock_order`, and `LineAmountsUnknownError`.
        """
        if params.lines and not params.without_money:
            fetch_charged_lines(self._database, self._gateway, order_id)
        with self._database.begin() as session:
            order = lock_order(session, order_id)
            known = find_request(session, order, params, key)
            request = known or create_request(session, order, params, key, actor)
        return request if known or not request.is_unanswered else self.send(request)

    def send(self, request: RefundRequest, *, notify_staff: bool = False) -> RefundRequest:
        """Send a new request to Stripe and return it with Stripe's answer, if there is one.

        With `notify_staff`, publish a refusal, so that staff get an e-mail.
        """
        self._send(request, utcnow(), first=True, notify_staff=notify_staff)
        with self._database.read() as session:
            return session.get_one(RefundRequest, request.id)

    def send_decided(self, requests: Sequence[RefundRequest]) -> list[RefundRequest]:
        """Send the requests of an operator's decision or cancellation; return the sent ones, with Stripe's answers.

        The first request is always sent. After `SENDING_BUDGET_S` no other call begins: the worker sends the rest in
        its next run.
        """
        began_at, sent = time.monotonic(), list[RefundRequest]()
        for request in requests:
            if sent and time.monotonic() - began_at >= SENDING_BUDGET_S:
                break
            sent.append(self.send(request, notify_staff=True))
        if rest := [request.id for request in requests[len(sent) :]]:
            self._hand_over(rest)
        return sent

    def _hand_over(self, request_ids: Sequence[str]) -> None:
        """Make unsent requests due now, for the worker. If this process dies first, they are due after the lease."""
        unsent = RefundRequest.id.in_(request_ids), RefundRequest.next_attempt_at > utcnow()
        with self._database.begin() as session:
            session.execute(update(RefundRequest).where(*unsent).values(next_attempt_at=utcnow()))

    def resume_due(self, now: datetime | None = None) -> int:
        """Process every due request without an answer, and return the number of requests."""
        resumed = 0
        while request := self._claim(at := now or utcnow()):
            self._send(request, at, first=False)
            resumed += 1
        return resumed

    def _claim(self, now: datetime) -> RefundRequest | None:
        """Claim the request that has been due longest, until the lease ends; return it, or None."""
        due = select(RefundRequest).where(RefundRequest.next_attempt_at <= now)
        with self._database.begin() as session:
            request = session.scalar(skip_locked(session, due.order_by(RefundRequest.next_attempt_at).limit(1)))
            if request is not None:
                request.next_attempt_at = now + SENDING_LEASE
            return request

    def _send(self, request: RefundRequest, now: datetime, *, first: bool, notify_staff: bool = True) -> None:
        """Find or create the refund at Stripe, then record the answer. A `first` attempt has nothing to find."""
        try:
            found = None if first else self._gateway.find(request)
            refund = found or self._gateway.create(request)
        except RefundRefusedError as reason:
            self._record_refusal(request.id, str(reason), notify_staff=notify_staff)
        except StripeAwayError as error:
            self._schedule_retry(request.id, error, now)
        else:
            self._record_answer(request.id, refund)

    def _record_answer(self, request_id: str, refund: StripeObject) -> None:
        with self._database.begin() as session:
            order, request = _lock_request(session, request_id)
            book_refund(session, order, refund, Cause.now(request.id))

    def _schedule_retry(self, request_id: str, error: StripeAwayError, now: datetime) -> None:
        with self._database.begin() as session:
            order, request = _lock_request(session, request_id)
            if not request.is_unanswered:
                return  # an event arrived first
            request.error = str(error)
            request.next_attempt_at = now + RETRY_DELAYS[min(request.attempts, len(RETRY_DELAYS) - 1)]
            request.attempts += 1
            text = f"Stripe has not answered yet about {_description(request)}. The worker asks again."
            if isinstance(error, StripeUnauthorizedError):
                text = (
                    f"Stripe refused the shop's API key, so {_description(request)} waits until the key is corrected."
                )
            add_entry(session, order, Cause.now(request.id), EntryKind.REFUND_UNANSWERED, text)
        log.warning(
            "stripe has not returned a refund or a refusal for a refund request yet, the worker tries again",
            refund_request_id=request_id,
            error=str(error),
        )

    def _record_refusal(self, request_id: str, reason: str, *, notify_staff: bool) -> None:
        """Record that Stripe refused the request. With `notify_staff`, publish it, so that staff get an e-mail."""
        with self._database.begin() as session:
            order, request = _lock_request(session, request_id)
            if not request.is_unanswered:
                return
            request.mark_refused(reason)
            update_fulfillment(session, order)
            publish_returns(session, order, request)
            cause = Cause.now(request.id)
            text = f"Stripe refused {_description(request)}: {reason}"
            add_entry(session, order, cause, EntryKind.REFUND_REFUSED, text)
            if notify_staff:
                publish(
                    session,
                    order,
                    "orders.refund.failed",
                    cause,
                    refund_id=request.id,  # there is none at Stripe
                    refund_request_id=request.id,
                    refund_status=RefundStatus.FAILED.value,
                    refund_amount=request.amount,
                    refund_currency=request.currency,
                    amount_refunded=order.amount_refunded,
                    failure_reason=reason,
                )
            publish_paid_order(session, order, cause)
        log.warning("stripe refused a refund request", refund_request_id=request_id, reason=reason)


def _lock_request(session: Session, request_id: str) -> tuple[Order, RefundRequest]:
    """Lock the request's order and return both."""
    order_id = session.scalars(select(RefundRequest.order_id).where(RefundRequest.id == request_id)).one()
    order = lock_order(session, order_id)
    return order, session.get_one(RefundRequest, request_id)


def _description(request: RefundRequest) -> str:
    return f"the refund of {format_amount(request.amount, request.currency)} that {request.requested_by} requested"
