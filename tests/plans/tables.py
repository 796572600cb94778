"""Big tables: filled by PostgreSQL itself from the models, so that a new column or table needs nothing here.

A value is SQL with `n`, from 1 to the number of rows. Higher numbers are newer. What a filter seldom finds is among the
oldest rows, so a plan that reads the newest ones first reads nearly all of them.
"""

from collections.abc import Mapping, Sequence, Set

import psycopg
from events.database.migrations import Chain
from psycopg import sql
from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import DateTime, TypeEngine

ID = "lpad(n::text, 12, '0')"
RARE = "n <= {rows} / 1000"  # the oldest thousandth
NEW = "n > {rows} * 0.98"  # the newest fiftieth
TIME = "now() - interval '30 days' * (({rows} - n)::float / {rows})"
VERY_OLD = f"{TIME} - CASE WHEN {RARE} THEN interval '100 days' ELSE interval '0' END"  # older than any retention
DUE = "CASE WHEN n <= 4 THEN now() - interval '1 minute' END"

# The columns whose value matters, by table. `*` has those that mean the same in every table of the service.
Values = Mapping[str, Mapping[str, str]]
LIBRARY: Values = {
    "inbox": {
        "event_id": f"'evt_' || {ID}",
        "correlation_id": f"'chk_' || {ID}",
        "routing_key": f"CASE WHEN {RARE} THEN 'stripe.charge.failed' ELSE 'stripe.charge.succeeded' END",
        "received_at": f"CASE WHEN n <= 20 THEN {TIME} ELSE {VERY_OLD} END",
        "status": (
            "CASE WHEN n <= 5 THEN 'waiting' WHEN n <= 10 THEN 'retrying' WHEN n <= 20 THEN 'failed'"
            " WHEN n <= 30 THEN 'discarded' WHEN n % 20 = 0 THEN 'ignored' ELSE 'done' END"
        ),
        "attempts": "1",
        "next_attempt_at": "CASE WHEN n <= 10 THEN now() - interval '1 minute' END",
        "error": "CASE WHEN n <= 20 THEN 'KeyError: x' WHEN n % 20 = 0 THEN 'not ours' END",
        "headers": "CASE WHEN n <= 30 THEN '{{}}'::jsonb END",
        "body": "CASE WHEN n <= 30 THEN '{{}}'::bytea END",
    },
    "inbox_audit_entries": {"event_id": f"'evt_' || {ID}"},
    "outbox": {
        "event_id": f"'evt_' || {ID}",
        "correlation_id": f"'chk_' || {ID}",
        "routing_key": "'checkout.checkout.canceled'",
        "headers": "'{{}}'::jsonb",
        "body": "'{{}}'::bytea",
        "published_at": f"CASE WHEN n <= {{rows}} - 5 THEN {VERY_OLD} END",
    },
}
SERVICES: Mapping[str, Values] = {
    "orders": {
        "*": {
            "order_id": f"'ord_' || {ID}",
            "checkout_id": f"'chk_' || {ID}",
            "session_id": f"'cs_' || {ID}",
            "payment_intent": f"'pi_' || {ID}",
            "payment_id": f"'pi_' || {ID}",
            "currency": "'eur'",
            "sku": "'SKU-' || n % 1000",
        },
        "orders": {
            "id": f"'ord_' || {ID}",
            "number": "'CL-' || lpad(n::text, 8, '0')",
            "amount_paid": "1000",
            "customer_email_key": "'c' || n % ({rows} / 10) || '@shop.example'",
            "status": (
                "CASE WHEN n <= 4 THEN 'canceled' WHEN n <= 8 THEN 'payment_pending'"
                " WHEN n <= 12 THEN 'payment_failed'"
                f" WHEN n % 10 = 0 THEN 'expired' WHEN {NEW} AND n % 10 = 1 THEN 'open' ELSE 'paid' END"
            ),
            "refund_status": "CASE WHEN n <= 4 THEN 'partial' WHEN n % 50 = 0 THEN 'full' ELSE 'none' END",
            "dispute_status": (
                "CASE WHEN n <= 4 THEN 'inquiry' WHEN n <= 8 THEN 'won' WHEN n <= 12 THEN 'lost'"
                " WHEN n % 200 = 1 THEN 'open' ELSE 'none' END"
            ),
            "fulfillment_status": (
                f"CASE WHEN n <= 60 THEN 'partial' WHEN n <= 65 THEN 'canceled' WHEN {NEW} THEN 'unfulfilled'"
                " ELSE 'fulfilled' END"
            ),
            "pieces_owed": "CASE WHEN n <= 60 THEN 1 ELSE 0 END",
            "needs_review": "n BETWEEN 101 AND 104",
            "review_reason": "CASE WHEN n BETWEEN 101 AND 104 THEN 'oversold' END",
            "paid_at": f"CASE WHEN n % 10 > 0 THEN {TIME} END",
            "confirmed_at": f"CASE WHEN n % 10 > 0 THEN {TIME} END",
        },
        "order_lines": {"quantity": "1"},
        "payments": {"id": f"'pi_' || {ID}", "status": "'succeeded'", "amount": "1000", "paid_at": TIME},
        "refunds": {
            "id": f"'re_' || {ID}",
            "status": "CASE WHEN n <= 4 THEN 'pending' ELSE 'succeeded' END",
            "refund_request_id": f"'rfr_' || {ID}",
        },
        "refund_requests": {
            "id": f"'rfr_' || {ID}",
            "status": "CASE WHEN n <= 4 THEN 'requested' ELSE 'succeeded' END",
            "next_attempt_at": DUE,
        },
        "refund_lookups": {"next_attempt_at": f"coalesce({DUE}, now() + interval '1 day')", "amount_refunded": "1"},
        "disputes": {
            "id": f"'dp_' || {ID}",
            "status": "CASE WHEN n <= 4 THEN 'needs_response' ELSE 'lost' END",
            "evidence_due_by": f"CASE WHEN n % 3 > 0 THEN {TIME} END",
        },
        "reviews": {
            "reason": "'oversold'",
            "subject": "''",
            "decision": "CASE WHEN n NOT BETWEEN 101 AND 104 THEN 'accept' END",
            "resolved_at": "CASE WHEN n NOT BETWEEN 101 AND 104 THEN now() END",
        },
        "timeline_entries": {"kind": "'paid'"},
        "unmatched_events": {"parked_at": VERY_OLD},
    },
    "checkout": {
        "*": {"code": "'CODE-' || n % 1000", "currency": "'eur'", "session_id": f"'cs_' || {ID}"},
        "products": {
            "sku": f"'SKU-' || {ID}",
            "prices": 'CASE WHEN n <= 4 THEN \'{{"eur": 100, "usd": 100}}\' ELSE \'{{"eur": 100}}\' END::jsonb',
            "active": "true",
        },
        "discounts": {"code": "'CODE-' || n - 1", "percent_off": "10", "active": "true"},
        "shipping_options": {"amounts": "'{{\"eur\": 100}}'::jsonb"},
        "checkouts": {
            "id": f"'chk_' || {ID}",
            "status": (
                "CASE WHEN n <= 8 THEN 'open' WHEN n <= 12 THEN 'canceled' WHEN n <= 16 THEN 'abandoned'"
                " WHEN n <= 20 THEN 'new' WHEN n % 2 = 0 THEN 'expired' ELSE 'complete' END"
            ),
            "payment_status": (
                "CASE WHEN n <= 30 THEN 'pending' WHEN n <= 40 THEN 'failed' WHEN n % 2 = 1 THEN 'paid' END"
            ),
            "email_key": "CASE WHEN n <= 8 THEN repeat('b', 64) END",
            "check_at": DUE,
            "coupon_ends_at": "CASE WHEN n BETWEEN 5 AND 6 THEN now() - interval '1 minute' END",
            "customer_email": "'c' || n % ({rows} / 10) || '@shop.example'",
            "discount_code": f"CASE WHEN {RARE} THEN 'CODE-1' WHEN n % 10 = 0 THEN 'CODE-' || n % 1000 END",
            "lines": "jsonb_build_array(jsonb_build_object('sku', 'SKU-' || n % ({rows} / 10)))",
            "client_key": "CASE WHEN n <= 30 THEN repeat('a', 64) END",
            "session_options": "'{{}}'::jsonb",
            "session_payments": "'{{}}'::jsonb",
        },
        "discount_uses": {"checkout_id": f"'chk_' || {ID}", "status": "'used'", "email": f"'c' || {ID}"},
    },
    "inventory": {
        "*": {
            "checkout_id": f"'chk_' || {ID}",
            "sku": "'SKU-' || n % ({rows} / 10)",
            "session_id": f"'cs_' || {ID}",
            "quantity": "1",
        },
        "stock_items": {
            "sku": "'SKU-' || n - 1",
            "on_hand": "CASE WHEN n <= 4 THEN 3 ELSE 100 END",
            "reserved": "2",
            "is_low": "n BETWEEN 5 AND 8",
        },
        "reservations": {
            "status": (
                "CASE WHEN n <= 20 THEN 'held' WHEN n <= 30 THEN 'released' WHEN n % 10 = 0 THEN 'expired'"
                " ELSE 'committed' END"
            ),
            "expires_at": f"CASE WHEN n BETWEEN 5 AND 20 THEN now() + interval '1 hour' ELSE {TIME} END",
        },
        "reservation_sessions": {"status": "CASE WHEN n BETWEEN 5 AND 20 THEN 'pending' ELSE 'paid' END"},
        "reservation_lines": {"unshipped": f"CASE WHEN {RARE} THEN 1 ELSE 0 END"},
        "movements": {"kind": "'sale'", "delta": "-1", "return_id": "NULL"},
    },
    "notifications": {
        "*": {"checkout_id": f"'chk_' || {ID}"},
        "checkouts": {"outcome": "'paid'", "purchaser": "'c' || n % ({rows} / 10) || '@shop.example'"},
        "emails": {
            "id": f"'eml_' || {ID}",
            "kind": "CASE WHEN n <= 4 THEN 'refund_succeeded' ELSE 'order_confirmed' END",
            "recipient": "'c' || n % ({rows} / 10) || '@shop.example'",
            "status": (
                "CASE WHEN n <= 4 THEN 'pending' WHEN n <= 8 THEN 'failed' WHEN n <= 12 THEN 'unknown'"
                " WHEN n <= 20 THEN 'collected' WHEN n % 5 = 0 THEN 'suppressed' ELSE 'sent' END"
            ),
            "next_attempt_at": DUE,
            "error": "CASE WHEN n <= 12 THEN '550 no such user' WHEN n % 5 = 0 THEN 'the order is paid' END",
            "digest_id": "CASE WHEN n BETWEEN 17 AND 20 THEN 'eml_' || lpad('21', 12, '0') END",
            "event_data": (
                "jsonb_build_object('occurred_at', '2026-01-01T00:00:00+00:00', 'refund_id', 're_1', 'currency', 'eur',"
                " 'amount_refunded', 1, 'amount_paid', 1, 'refund_amount', 1, 'refund_currency', 'eur')"
            ),
        },
        "reminders": {"email_id": f"'eml_' || {ID}"},
    },
}
# Tables with fewer rows than the others, as a share of them.
FEWER = {
    "products": 2,  # enough that a test with few rows notices a list that reads all of them
    **dict.fromkeys(("stock_items", "payment_attempts", "discount_uses", "reminders"), 10),
    **dict.fromkeys(("refunds", "refund_requests", "disputes", "unmatched_events", "inbox_audit_entries"), 10),
    **dict.fromkeys(("refund_lookups", "stock_returns", "operator_acts", "resend_requests", "stock_changes"), 100),
    **dict.fromkeys(("unsubscribed_addresses", "erased_checkouts", "shipments"), 100),
    **dict.fromkeys(("doubted_reservations", "doubted_checkouts"), 100),
}
FIXED = {"discounts": 1000, "shipping_options": 3, "consumer_controls": 0}


def fill(url: str, service: str, chains: Sequence[Chain], rows: int) -> Mapping[str, int]:
    """Fill all tables of a migrated database, and return the number of rows by table.

    The revision can be an early one: tables and columns that it does not have yet are left out.
    """
    filled = {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no checks of foreign keys
        connection.execute("SET statement_timeout = 0")
        existing = _existing_columns(connection)
        for chain in chains:
            for table in chain.metadata.sorted_tables:
                if table.name not in existing:
                    continue
                filled[table.name] = FIXED.get(table.name, rows // FEWER.get(table.name, 1))
                _fill_table(connection, table, existing[table.name], service, filled[table.name], rows)
        connection.execute("VACUUM ANALYZE")
    return filled


def _existing_columns(connection: "psycopg.Connection") -> Mapping[str, Set[str]]:
    query = "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
    found = connection.execute(f"{query} WHERE table_schema = 'public' GROUP BY table_name").fetchall()
    return {name: set(columns) for name, columns in found}


def _fill_table(
    connection: "psycopg.Connection", table: Table, existing: Set[str], service: str, count: int, rows: int
) -> None:
    values = {**SERVICES[service].get("*", {}), **LIBRARY.get(table.name, {}), **SERVICES[service].get(table.name, {})}
    columns = [
        column
        for column in table.columns
        if column.name in existing and (column.name in values or not _has_default(column))
    ]
    expressions = [values.get(column.name) or _usual_value(column) for column in columns]
    statement = "INSERT INTO {} ({}) SELECT {} FROM generate_series(1, {}) AS n"
    connection.execute(
        sql.SQL(statement).format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
            sql.SQL(", ").join(sql.SQL(each.format(rows=rows)) for each in expressions),
            sql.Literal(count),
        )
    )


def _has_default(column: "Column[object]") -> bool:
    is_serial = column.primary_key and isinstance(column.type, Integer) and column.autoincrement is True
    return is_serial or column.server_default is not None


def _usual_value(column: "Column[object]") -> str:
    kind: TypeEngine[object] = column.type.dialect_impl(postgresql.dialect())
    if isinstance(getattr(column.type, "impl", None), DateTime):
        return "NULL" if column.nullable else TIME
    if column.nullable:
        return "NULL"
    if isinstance(kind, Boolean):
        return "false"
    if isinstance(kind, Integer):
        return "0"
    if isinstance(kind, LargeBinary):
        return "''::bytea"
    if isinstance(kind, postgresql.JSONB):
        return "'[]'::jsonb"
    length = getattr(column.type, "length", None) or 12
    return ID if length >= 12 else f"left('xxxx', {length})"
