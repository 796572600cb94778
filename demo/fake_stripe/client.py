"""The actions of a fake Stripe that scenarios use, and a client for a fake Stripe in another process."""

from typing import Any, Protocol

import httpx

from .errors import StripeError
from .store import Object

API_KEY_HEADER = {"Authorization": "Bearer sk_test_remote"}  # the fake accepts every test key


class Stripe(Protocol):
    """A fake Stripe: a `FakeStripe` in this process, or a `FakeStripeClient`.

    A method raises `StripeError` if the fake refuses its action.
    """

    @property
    def ledger(self) -> Object:
        """The objects of `ledger.KINDS`, all events with their deliveries, and the totals by currency."""

    def session(self, session_id: str) -> Object:
        """Return a Checkout Session as the API shows it. Raise `StripeError` (404) if it does not exist."""

    def line_items(self, session_id: str) -> list[Object]:
        """Return the lines of a session."""

    def create(self, path: str, params: dict[str, str]) -> Object:
        """Create an object through Stripe's API. `params` are the fields of its form, such as `promotion[type]`."""

    def set_event_version(self, version: str) -> object:
        """Create all coming events in the shapes of this API version, such as `2022-08-01`."""

    def pay(
        self, session_id: str, method: str = "card", email: str | None = None, wait: float = 0.0, **typed: str
    ) -> str:
        """Pay a session as on the payment page and return the redirect URL. Raise `StripeError` if it is declined.

        `wait` is the longest time in seconds to wait for the webhook's answer. `typed` are fields of the page, such
        as country and promotion_code.
        """

    def settle(self, session_id: str) -> bool:
        """End the wait for a session's SEPA debit, voucher or bank transfer. Return False if none is pending."""

    def expire(self, session_id: str) -> Object:
        """Expire a session. Raise `StripeError` if it is not open."""

    def recover(self, session_id: str) -> Object:
        """Follow an expired session's recovery link as the customer does, and return the new session."""

    def refund(self, session_id: str, **params: Any) -> Object:
        """Refund a session's payment as the dashboard does: all that is left, or an `amount` in minor units."""

    def queue_refund_status(self, status: str) -> object:
        """Set the first status of the next refund, also one that Stripe does not have. An empty status becomes null.

        Each call queues one status, for one more refund. Raise `StripeError` for `failed` and `canceled`.
        """

    def advance_refund(self, refund_id: str, status: str, reason: str = "unknown") -> Object:
        """Move a refund to its next status (see `refunds.NEXT_STATUSES`), such as failed after succeeded."""

    def open_dispute(self, session_id: str, **details: Any) -> Object:
        """Open a dispute of a session's payment as the customer's bank does (`reason`, `inquiry`, `amount`)."""

    def advance_dispute(
        self, session_id: str, status: str, reinstated: int | None = None, *, closed_first: bool = False
    ) -> Object:
        """Move the dispute of a session's payment to its next status.

        `reinstated` is the part that the bank returns although the dispute is lost, in minor units. With
        `closed_first`, the dispute is closed before the money returns.
        """

    def open_review(self, session_id: str) -> Object:
        """Place a session's payment in review as Radar does."""

    def close_review(self, session_id: str, closed_reason: str) -> Object:
        """Close the review of a session's payment as a person does in the dashboard."""

    def warn(self, session_id: str) -> Object:
        """Let the card's bank warn of fraud with a session's payment."""


class FakeStripeClient:
    """A fake Stripe in another process, used through its API and its control API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers=API_KEY_HEADER, timeout=30)

    @property
    def ledger(self) -> Object:
        """The objects of `ledger.KINDS`, all events with their deliveries, and the totals by currency."""
        return self._read(self._client.get("/_control/state"))

    def session(self, session_id: str) -> Object:
        """Return a Checkout Session as the API shows it. Raise `StripeError` (404) if it does not exist."""
        return self._read(self._client.get(f"/v1/checkout/sessions/{session_id}"))

    def line_items(self, session_id: str) -> list[Object]:
        """Return the lines of a session. They all fit into one page of Stripe's list, because carts are smaller."""
        answer = self._client.get(f"/v1/checkout/sessions/{session_id}/line_items", params={"limit": 100})
        items: list[Object] = self._read(answer)["data"]
        return items

    def create(self, path: str, params: dict[str, str]) -> Object:
        """Create an object through Stripe's API. `params` are the fields of its form, such as `promotion[type]`."""
        return self._read(self._client.post(f"/v1/{path}", data=params))

    def set_event_version(self, version: str) -> object:
        """Create all coming events in the shapes of this API version, such as `2022-08-01`."""
        return self._control("event-version", version=version)

    def pay(
        self, session_id: str, method: str = "card", email: str | None = None, wait: float = 0.0, **typed: str
    ) -> str:
        """Pay a session as on the payment page and return the redirect URL. Raise `StripeError` if it is declined."""
        body = {"session_id": session_id, "method": method, "email": email, "wait": wait, "typed": typed}
        return str(self._control("pay", **body)["redirect"])

    def settle(self, session_id: str) -> bool:
        """End the wait for a session's SEPA debit, voucher or bank transfer. Return False if none is pending."""
        return bool(self._control("settle", session_id=session_id)["settled"])

    def expire(self, session_id: str) -> Object:
        """Expire a session. Raise `StripeError` if it is not open."""
        return self._control("expire", session_id=session_id)

    def recover(self, session_id: str) -> Object:
        """Follow an expired session's recovery link as the customer does, and return the new session."""
        return self._control("recover", session_id=session_id)

    def refund(self, session_id: str, **params: Any) -> Object:
        """Refund a session's payment as the dashboard does: all that is left, or an `amount` in minor units."""
        return self._control("refund", session_id=session_id, **params)

    def queue_refund_status(self, status: str) -> object:
        """Set the first status of the next refund, also one that Stripe does not have. An empty status becomes null.

        Each call queues one status, for one more refund. Raise `StripeError` for `failed` and `canceled`.
        """
        return self._control("next-refund", status=status)

    def advance_refund(self, refund_id: str, status: str, reason: str = "unknown") -> Object:
        """Move a refund to its next status (see `refunds.NEXT_STATUSES`), such as failed after succeeded."""
        return self._control("refund", refund_id=refund_id, status=status, failure_reason=reason)

    def open_dispute(self, session_id: str, **details: Any) -> Object:
        """Open a dispute of a session's payment as the customer's bank does (`reason`, `inquiry`, `amount`)."""
        return self._control("dispute", session_id=session_id, **details)

    def advance_dispute(
        self, session_id: str, status: str, reinstated: int | None = None, *, closed_first: bool = False
    ) -> Object:
        """Move the dispute of a session's payment to its next status.

        `reinstated` is the part that the bank returns although the dispute is lost, in minor units. With
        `closed_first`, the dispute is closed before the money returns.
        """
        details = {"reinstated": reinstated, "closed_first": closed_first}
        return self._control("dispute", session_id=session_id, status=status, **details)

    def open_review(self, session_id: str) -> Object:
        """Place a session's payment in review as Radar does."""
        return self._control("review", session_id=session_id)

    def close_review(self, session_id: str, closed_reason: str) -> Object:
        """Close the review of a session's payment as a person does in the dashboard."""
        return self._control("review", session_id=session_id, closed_reason=closed_reason)

    def warn(self, session_id: str) -> Object:
        """Let the card's bank warn of fraud with a session's payment."""
        return self._control("fraud-warning", session_id=session_id)

    def _control(self, action: str, **body: Any) -> Object:
        given = {name: value for name, value in body.items() if value is not None}
        return self._read(self._client.post(f"/_control/{action}", json=given))

    def _read(self, response: httpx.Response) -> Object:
        """Return the response's object. Raise `StripeError` for an error answer, as the fake itself does."""
        document: Object = response.json()
        if response.is_error:
            raise StripeError(document["error"]["message"], status=response.status_code)
        return document
