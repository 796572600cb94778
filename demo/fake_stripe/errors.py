"""Errors in the form of Stripe's API."""

from typing import Any


class StripeError(Exception):
    """An error answer: its HTTP status and the fields of its `error` object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"message": message, "type": type_, **more}
        if code is not None:
            self.error |= {"code": code, "doc_url": f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"}
        if param is not None:
            self.error["param"] = param

    @property
    def is_refused_parameter(self) -> bool:
        """Return True if the error's code begins with `parameter_`, or if the API key was refused.

        No idempotency key keeps such an answer.
        """
        return str(self.error.get("code", "")).startswith("parameter_") or self.status == 401

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the error's answer."""
        return {"error": self.error}


def missing_resource(kind: str, object_id: str, param: str = "id") -> StripeError:
    """Return the error for an id that no object of this kind has."""
    name = kind.rsplit(".", 1)[-1]
    return StripeError(f"No such {name}: '{object_id}'", status=404, code="resource_missing", param=param)
