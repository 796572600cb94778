"""The operators' page: asks the orders service in the browser's place, which may not send tokens there itself."""

import httpx
from flask import Blueprint, Response, request, send_from_directory

PASSED_ON = ("Authorization", "Content-Type", "Idempotency-Key")
TIMEOUT = 30  # seconds; a refund waits for Stripe


def operator_blueprint(orders_url: str, folder: str) -> Blueprint:
    """`orders_url` is the orders service as this server reaches it. Whoever asks brings a token of their own."""
    operator = Blueprint("operator", __name__, url_prefix="/operator")
    client = httpx.Client(base_url=orders_url, timeout=TIMEOUT, trust_env=False)

    @operator.get("")
    def page() -> Response:
        return send_from_directory(folder, "operator.html", max_age=0)

    @operator.get("/api/orders")
    @operator.get("/api/orders/<order_id>")
    @operator.post("/api/orders/<order_id>/<act>")
    def pass_on(**names: str) -> Response:
        headers = {name: value for name in PASSED_ON if (value := request.headers.get(name))}
        try:
            answer = client.request(
                request.method,
                "/".join(("/orders", *names.values())),
                params=list(request.args.items(multi=True)),
                content=request.get_data(),
                headers=headers,
            )
        except httpx.TransportError:
            return Response('{"detail": "The orders service does not answer."}', 503, mimetype="application/json")
        return Response(answer.content, answer.status_code, mimetype=answer.headers.get("Content-Type"))

    return operator
