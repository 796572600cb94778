"""Log lines: JSON, with request ids, without personal data."""

import json
import logging
from typing import Any

import pytest
import structlog
from events.database.engine import Database
from events.observability.logging import configure_logging, get_logger


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the logged lines, each a JSON object."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail() -> None:
    customer_email = "zoe@example.com"
    card = {"number": "4242424242424242"}
    raise ValueError(f"{len(customer_email)} characters, {len(card)} card")


@pytest.mark.parametrize(
    "log", [get_logger("events.test"), logging.getLogger("library.test")], ids=["own logger", "library logger"]
)
def test_exception_is_one_json_object_without_local_values(log: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("orders")
    try:
        fail()
    except ValueError:
        log.exception("handler failed")
    text = capsys.readouterr().err
    (line,) = [json.loads(part) for part in text.splitlines()]
    assert (line["service"], line["level"], line["event"]) == ("orders", "error", "handler failed")
    assert line["exception"][0]["exc_value"] == "15 characters, 1 card"
    assert [frame["name"] for frame in line["exception"][0]["frames"]][-1] == "fail"
    assert "zoe@example.com" not in text
    assert "4242" not in text


def test_log_line_has_its_fields_and_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("orders")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        get_logger("events.test").info("paid", order_id="ord_1", amount=5738)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "service": "orders",
        "level": "info",
        "logger": "events.test",
        "event": "paid",
        "order_id": "ord_1",
        "amount": 5738,
        "request_id": "req_1",
    }


def test_line_break_in_a_value_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("orders")
    get_logger("events.test").warning("odd", text='a\nb"} {"level": "critical')
    (line,) = lines(capsys)
    assert line["text"] == 'a\nb"} {"level": "critical'


def test_value_unknown_to_json_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("orders")
    get_logger("events.test").info("odd", value=b"\xff", other=object())
    assert lines(capsys)[0]["event"] == "odd"


def test_level_applies_to_our_and_other_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("orders", "WARNING")
    get_logger("events.test").info("quiet")
    logging.getLogger("library.test").info("quiet")
    logging.getLogger("pika.adapters").info("quiet")
    get_logger("events.test").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize("url", ["sqlite:///never-opened.db", "postgresql://localhost/never-opened"])
def test_failed_statement_is_logged_without_its_values(url: str) -> None:
    """Values contain customers' names and addresses, and an error's text is stored in the log and the inbox."""
    database = Database(url)
    assert database.engine.hide_parameters
    database.dispose()
