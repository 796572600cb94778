"""Peer (b): no broker. The request verifies the event, writes the order, takes the stock and sends the e-mail.

Database connections are pooled, and each thread keeps one SMTP connection. The order's key makes a repeat harmless. The
cart is one known product: this peer need not look up lines at Stripe or in a table, which is an advantage.
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
STOCK_PIECES = 1_000_000  # of each product

ORDER = text(
    "INSERT INTO orders (session_id, checkout_id, event_id, amount_total, currency, email)"
    " VALUES (:session_id, :checkout_id, :event_id, :amount_total, :currency, :email) ON CONFLICT DO NOTHING"
)
LINE = text("INSERT INTO order_lines (session_id, sku, quantity) VALUES (:session_id, :sku, 1)")
STOCK = text("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = :sku")


def prepare(database_url: str) -> None:
    """Create the tables, and the stock of `SKUS` products."""
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLES)
        rows = [(f"SKU-{number}", STOCK_PIECES) for number in range(SKUS)]
        connection.cursor().executemany("INSERT INTO stock VALUES (%s, %s)", rows)


def count_written(database_url: str) -> Mapping[str, int]:
    """Return how many orders, order lines and sold pieces the database has. Each accepted post adds one of each."""
    counts = {
        "orders": "SELECT count(*) FROM orders",
        "order lines": "SELECT count(*) FROM order_lines",
        "pieces sold": f"SELECT sum({STOCK_PIECES} - on_hand) FROM stock",  # noqa: S608 - a number of ours
    }
    with psycopg.connect(database_url) as connection:
        rows = {name: connection.execute(query).fetchone() for name, query in counts.items()}
    return {name: int(row[0]) for name, row in rows.items() if row}


def create_app() -> Flask:
    """Return the application, which answers a post after its order is committed and its e-mail is accepted."""
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
    local = threading.local()

    def send(message: EmailMessage) -> None:
        if not hasattr(local, "smtp"):
            local.smtp = smtplib.SMTP("127.0.0.1", port, timeout=10)
        try:
            local.smtp.send_message(message)
        except smtplib.SMTPServerDisconnected:
            local.smtp = smtplib.SMTP("127.0.0.1", port, timeout=10)
            local.smtp.send_message(message)

    return send
