"""Peer (b): no broker. The request verifies, writes the order, takes the stock and sends the mail.

Pooled database connections and one kept SMTP conversation a thread; repeats are recognised by the order's key. The cart
is one known product: looking its lines up, at Stripe or in a table, is left out in this peer's favour.
"""

import os
import smtplib
import threading
from collections.abc import Callable, Mapping
from email.message import EmailMessage

import psycopg
import stripe
from flask import Flask, request
from sqlalchemy import create_engine, text

TABLES = """
CREATE TABLE stock (sku text PRIMARY KEY, on_hand integer NOT NULL CHECK (on_hand >= 0));
CREATE TABLE orders (
    session_id text PRIMARY KEY, checkout_id text NOT NULL, event_id text NOT NULL, amount_total bigint NOT NULL,
    currency text NOT NULL, email text, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE order_lines (
    session_id text REFERENCES orders, sku text REFERENCES stock, quantity integer NOT NULL,
    PRIMARY KEY (session_id, sku)
);
"""
SKUS = 100  # so that orders seldom wait for each other's stock row
OPENING = 1_000_000

ORDER = text(
    "INSERT INTO orders (session_id, checkout_id, event_id, amount_total, currency, email)"
    " VALUES (:session_id, :checkout_id, :event_id, :amount_total, :currency, :email) ON CONFLICT DO NOTHING"
)
LINE = text("INSERT INTO order_lines (session_id, sku, quantity) VALUES (:session_id, :sku, 1)")
STOCK = text("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = :sku")


def prepare(database_url: str) -> None:
    """Make the tables and fill the shelf."""
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLES)
        rows = [(f"SKU-{number}", OPENING) for number in range(SKUS)]
        connection.cursor().executemany("INSERT INTO stock VALUES (%s, %s)", rows)


def written(database_url: str) -> Mapping[str, int]:
    """What stands in the database for accepted posts."""
    counts = {
        "orders": "SELECT count(*) FROM orders",
        "order lines": "SELECT count(*) FROM order_lines",
        "pieces sold": f"SELECT sum({OPENING} - on_hand) FROM stock",  # noqa: S608 - a number of ours
    }
    with psycopg.connect(database_url) as connection:
        rows = {name: connection.execute(query).fetchone() for name, query in counts.items()}
    return {name: int(row[0]) for name, row in rows.items() if row}


def create_app() -> Flask:
    app = Flask(__name__)
    secret = os.environ["STRIPE_WEBHOOK_SECRET"]
    threads = int(os.environ["THREADS"])
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=threads, max_overflow=0)
    send = _mailer(int(os.environ["SMTP_PORT"]))

    @app.post("/webhooks/stripe")
    def receive() -> tuple[dict[str, str], int]:
        try:
            event = stripe.Webhook.construct_event(
                request.get_data(), request.headers.get("Stripe-Signature", ""), secret
            )
        except (ValueError, stripe.SignatureVerificationError):
            return {"error": "bad request"}, 400
        session = event.data.object
        order = {
            "session_id": session.id,
            "checkout_id": session.client_reference_id,
            "event_id": event.id,
            "amount_total": session.amount_total,
            "currency": session.currency,
            "email": session.customer_details.email,
        }
        line = {"session_id": session.id, "sku": f"SKU-{int(session.id[-4:]) % SKUS}"}
        with engine.begin() as connection:
            is_new = connection.execute(ORDER, order).rowcount == 1
            if is_new:
                connection.execute(LINE, line)
                connection.execute(STOCK, line)
        if is_new:
            send(_confirmation(order))
        return {"event_id": event.id}, 200

    return app


def _confirmation(order: dict[str, str]) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "orders@clozit.example", order["email"]
    message["Subject"] = f"Your order {order['checkout_id']}"
    message.set_content(f"Thank you. You paid {order['amount_total']} {order['currency']}.\n")
    return message


def _mailer(port: int) -> Callable[[EmailMessage], None]:
    kept = threading.local()

    def send(message: EmailMessage) -> None:
        if not hasattr(kept, "smtp"):
            kept.smtp = smtplib.SMTP("127.0.0.1", port, timeout=10)
        try:
            kept.smtp.send_message(message)
        except smtplib.SMTPServerDisconnected:
            kept.smtp = smtplib.SMTP("127.0.0.1", port, timeout=10)
            kept.smtp.send_message(message)

    return send
