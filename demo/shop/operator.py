"""The operator page, and its proxy to the orders service, which accepts no token from pages of another origin."""

import httpx
from flask import Blueprint, Response, request, send_from_directory

FORWARDED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key")
TIMEOUT_S = 30  # a refund waits for Stripe


def operator_blueprint(orders_url: str, folder: str) -> Blueprint:
    """Return the operator page's routes. They forward calls with the caller's own token.

    `orders_url` is the URL at which this server reaches the orders service. `folder` contains the page.
    """
    operator = Blueprint("operator", __name__, url_prefix="/operator")
    client = httpx.Client(base_url=orders_url, timeout=TIMEOUT_S, trust_env=False)

    @operator.get("")
    def page() -> Response:
        return send_from_directory(folder, "operator.html", max_age=0)

    @operator.get("/api/orders")
    @operator.get("/api/orders/<order_id>")
    @operator.post("/api/orders/<order_id>/<action>")
    def forward(**names: str) -> Response:
        headers = {name: value for name in FORWARDED_HEADERS if (value := request.headers.get(name))}
        try:
            answer = client.request(
                request.method,
                "/".join(("/orders", *names.values())),
                params=list(request.args.items(multi=True)),
                content=request.get_data(),
                headers=headers,
            )
        except httpx.TransportError:
            detail = '{"detail": "The orders service does not answer. Try again in a moment."}'
            return Response(detail, 503, mimetype="application/json")
        return Response(answer.content, answer.status_code, mimetype=answer.headers.get("Content-Type"))

    return operator
