"""Resends: to a corrected address, many at once, and once per idempotency key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from events.messaging.event import own_event
from notifications.app import create_app

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}
REUSED = "urn:clozit:problem:idempotency-key-reused"


@pytest.fixture
def client(service: Any) -> Any:
    return create_app(service.config, database=service.database).test_client()


def post(client: Any, path: str, body: Any = None, key: str | None = None) -> Any:
    headers = {**AUTHORIZED, **({"Idempotency-Key": key} if key else {})}
    return client.post(path, json=body, headers=headers)


def fail(service: Any, *numbers: int) -> None:
    """Have the server refuse a confirmation for each number, and then accept the next ones."""
    for number in numbers:
        service.server.answers[f"c{number}@example.org"] = "550 5.1.1 no such user"
        service.receive_paid(number)
    service.sender.run()
    service.server.answers.clear()


def resend_path(service: Any, number: int = 1) -> str:
    (email,) = (email for email in service.emails() if email.checkout_id == f"chk_{number}" and not email.resend_of)
    return f"/notifications/{email.id}/resend"


def test_resend_goes_to_a_corrected_address(service: Any, client: Any) -> None:
    fail(service, 1)
    answer = post(client, resend_path(service), {"recipient": "right@example.org"}, "key-1")
    assert answer.status_code == 201
    assert answer.json["recipient"] == "right@example.org"
    assert service.sender.run() == 1
    assert service.server.recipients == ["right@example.org"]
    assert service.emails()[0].recipient == "c1@example.org"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"recipient": "right"}, "recipient"),
        ({"recipient": "a@example.org, b@example.org"}, "recipient"),
        ({"recipient": "a@example.org\r\nBcc: b@example.org"}, "recipient"),
        ({"recipient": ""}, "recipient"),
        ({"recipient": None}, "recipient"),
        ({"recipient": 5}, "recipient"),
        ({"recipent": "right@example.org"}, "recipent"),
    ],
)
def test_invalid_resend_is_refused(service: Any, client: Any, body: Any, field: str) -> None:
    fail(service, 1)
    answer = post(client, resend_path(service), body, "key-1")
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert len(service.emails()) == 1


def test_mail_to_staff_has_no_other_recipient(service: Any, client: Any) -> None:
    service.receive("inventory.stock.low")
    service.sender.run()
    path = f"/notifications/{service.emails()[0].id}/resend"
    answer = post(client, path, {"recipient": "stranger@example.org"}, "key-1")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["recipient"])
    assert post(client, path, key="key-2").status_code == 201


def test_same_key_resends_once(service: Any, client: Any) -> None:
    fail(service, 1)
    path, body = resend_path(service), {"recipient": "right@example.org"}
    first = post(client, path, body, "key-1")
    service.sender.run()
    again = post(client, path, body, "key-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json["id"], again.json["status"]) == (first.json["id"], "sent")
    assert service.sender.run() == 0
    other = post(client, path, {"recipient": "other@example.org"}, "key-1")
    assert (other.status_code, other.json["type"]) == (409, REUSED)
    assert len(service.server.messages) == 1


def test_same_key_at_the_same_time_resends_once(service: Any) -> None:
    fail(service, 1)
    path = resend_path(service)
    clients = [create_app(service.config, database=service.database).test_client() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: post(one, path, key="key-1"), clients))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(service.emails()) == 2


def test_bulk_resend_sends_all_failed_mails_again(service: Any, client: Any) -> None:
    service.receive_paid(9)
    fail(service, 1, 2, 3)
    dry = post(client, "/notifications/resend", {"status": "failed", "limit": 2, "dry_run": True}).json
    assert (len(dry["notification_ids"]), dry["resend_ids"], dry["matching"], dry["dry_run"]) == (2, [], 3, True)
    assert service.sender.run() == 0
    done = post(client, "/notifications/resend", {"status": "failed", "limit": 2}, "key-1")
    assert done.status_code == 200
    assert (done.json["notification_ids"], done.json["matching"]) == (dry["notification_ids"], 3)
    assert len(done.json["resend_ids"]) == 2
    assert service.sender.run() == 2
    again = post(client, "/notifications/resend", {"status": "failed", "limit": 2}, "key-1")
    assert again.json == done.json
    assert service.sender.run() == 0
    rest = post(client, "/notifications/resend", {"status": "failed", "limit": 2}, "key-2")
    assert rest.json["matching"] == 1
    assert service.sender.run() == 1
    none = post(client, "/notifications/resend", {"status": "failed"}, "key-3")
    assert (none.json["notification_ids"], none.json["matching"]) == ([], 0)
    assert sorted(service.server.recipients) == [f"c{number}@example.org" for number in (1, 2, 3, 9)]


def test_failed_resend_is_the_one_that_is_resent(service: Any, client: Any) -> None:
    fail(service, 1)
    service.server.answers["c1@example.org"] = "550 5.1.1 still no such user"
    post(client, "/notifications/resend", {"status": "failed"}, "key-1")
    service.sender.run()
    service.server.answers.clear()
    assert post(client, "/notifications/resend", {"status": "failed"}, "key-2").json["matching"] == 1
    assert service.sender.run() == 1


def test_two_bulk_resends_at_once_resend_each_mail_once(service: Any) -> None:
    fail(service, *range(8))
    clients = [create_app(service.config, database=service.database).test_client() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(
            pool.map(
                lambda pair: post(pair[1], "/notifications/resend", {"status": "failed"}, f"key-{pair[0]}"),
                enumerate(clients),
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    assert sum(len(answer.json["resend_ids"]) for answer in answers) == 8


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"error": "no such user"}, [1, 2]),
        ({"error": "%"}, []),
        ({"recipient": "c2@example.org"}, [2]),
        ({"kind": "order_confirmed"}, [1, 2, 3]),
        ({"kind": "payment_failed"}, []),
        ({"all": True}, [1, 2, 3]),
        ({"checkout_id": "chk_3", "status": "sent"}, [3]),
        ({"checkout_id": "chk_3", "status": "unknown"}, []),
    ],
)
def test_bulk_resend_takes_the_mails_that_match_all_filters(
    service: Any, client: Any, filters: Any, found: list[int]
) -> None:
    fail(service, 1, 2)
    service.receive_paid(3)
    service.receive("orders.order.canceled", checkout_id="chk_4")
    service.sender.run()
    service.server.messages.clear()
    post(client, "/notifications/resend", filters, "key-1")
    service.sender.run()
    assert sorted(service.server.recipients) == [f"c{number}@example.org" for number in found]


def test_sent_copies_are_not_resent_in_bulk(service: Any, client: Any) -> None:
    service.receive_paid(1)
    service.sender.run()
    assert len(post(client, "/notifications/resend", {"all": True}, "key-1").json["resend_ids"]) == 1
    service.sender.run()
    assert post(client, "/notifications/resend", {"all": True}, "key-2").json["resend_ids"] == []


@pytest.mark.parametrize("value", ["true", 1, None])
def test_bulk_resend_accepts_only_true_as_all(client: Any, value: object) -> None:
    assert post(client, "/notifications/resend", {"all": value}, "key-1").status_code == 422


def test_bulk_resend_by_time(service: Any, client: Any) -> None:
    fail(service, 1)
    created = service.emails()[0].created_at
    before, after = (created - timedelta(seconds=1)).isoformat(), (created + timedelta(seconds=1)).isoformat()
    for filters, matching in (({"created_from": before, "created_to": after}, 1), ({"created_from": after}, 0)):
        assert post(client, "/notifications/resend", {**filters, "dry_run": True}).json["matching"] == matching
    assert post(client, "/notifications/resend", {"created_from": before}, "key-1").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "all"),
        ({"all": False}, "all"),
        ({"all": None}, "all"),
        ({"status": "suppressed"}, "status"),
        ({"status": None}, "status"),
        ({"kind": "x"}, "kind"),
        ({"all": True, "limit": 0}, "limit"),
        ({"all": True, "filter": "x"}, "filter"),
        ({"error": ""}, "error"),
    ],
)
def test_bulk_resend_without_a_valid_filter_is_refused(service: Any, client: Any, body: Any, field: str) -> None:
    fail(service, 1)
    answer = post(client, "/notifications/resend", body, "key-1")
    assert answer.status_code == 422
    assert field in answer.json["errors"]
    assert len(service.emails()) == 1


@pytest.mark.parametrize("path", ["/notifications/resend", "/notifications/eml_1/resend"])
def test_resend_needs_a_key(client: Any, path: str) -> None:
    answer = post(client, path, {"all": True} if path == "/notifications/resend" else {})
    assert (answer.status_code, answer.json["type"]) == (400, "urn:clozit:problem:idempotency-key-required")


def test_bulk_resend_leaves_out_erased_customers(service: Any, client: Any) -> None:
    fail(service, 1, 2)
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": service.clock.now}
    service.deliver(own_event("orders.customer.erased", data, correlation_id="chk_1"))
    assert post(client, "/notifications/resend", {"all": True}, "key-1").json["matching"] == 1
    service.sender.run()
    assert service.server.recipients == ["c2@example.org"]


def test_misspelled_filter_of_the_list_is_refused(client: Any) -> None:
    answer = client.get("/notifications?statsu=failed", headers=AUTHORIZED)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["statsu"])
