"""The operators' routes."""

from typing import Any
from uuid import uuid4

import pytest
from events.messaging.event import own_event
from events.testing.openapi import unlimited_lists
from notifications.app import create_app

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}


def keyed() -> dict[str, str]:
    """Return an operator's headers with a new idempotency key."""
    return AUTHORIZED | {"Idempotency-Key": str(uuid4())}


@pytest.fixture
def client(sqlite_service: Any) -> Any:
    return create_app(sqlite_service.config, database=sqlite_service.database).test_client()


def listed(client: Any, **filters: Any) -> Any:
    answer = client.get("/notifications", query_string=filters, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.json
    return answer.json


@pytest.mark.parametrize(("method", "path"), [("get", "/notifications"), ("post", "/notifications/eml_1/resend")])
def test_routes_require_an_operators_token(client: Any, method: str, path: str) -> None:
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")


def test_list_has_recipient_status_and_time(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    (item,) = listed(client)["items"]
    assert item["kind"] == "order_confirmed"
    assert item["recipient"] == "c1@example.org"
    assert item["status"] == "sent"
    assert item["sent_at"] == sqlite_service.clock.now.isoformat()
    assert "context" not in item


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "failed"}, ["chk_2"]),
        ({"kind": "payment_pending"}, ["chk_9"]),
        ({"checkout_id": "chk_1"}, ["chk_1"]),
        ({"recipient": "c2@example.org"}, ["chk_2"]),
        ({"recipient": "c2@example.org", "status": "sent"}, []),
    ],
)
def test_list_returns_the_mails_that_match_all_filters(
    sqlite_service: Any, client: Any, filters: dict[str, Any], found: list[str]
) -> None:
    sqlite_service.server.answers["c2@example.org"] = "550 no"
    sqlite_service.receive_paid(1)
    sqlite_service.receive_paid(2)
    sqlite_service.receive("orders.payment.pending", checkout_id="chk_9")
    sqlite_service.sender.run()
    assert [item["checkout_id"] for item in listed(client, **filters)["items"]] == found


@pytest.mark.parametrize("filters", [{"status": "lost"}, {"kind": "x"}, {"limit": 0}, {"cursor": "%%%"}])
def test_invalid_filters_are_listed(client: Any, filters: dict[str, Any]) -> None:
    answer = client.get("/notifications", query_string=filters, headers=AUTHORIZED)
    assert answer.status_code == 422
    assert answer.json["errors"].keys() == filters.keys()


def test_error_is_searched_in_suppressed_mails_only_by_status(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive("orders.payment.pending", checkout_id="chk_1")
    sqlite_service.receive_paid(1)
    assert [item["error"] for item in listed(client, status="suppressed", error="is paid")["items"]] == [
        "the order is paid"
    ]
    assert listed(client, error="is paid")["items"] == []


def test_pages_have_each_mail_once_newest_first(sqlite_service: Any, client: Any) -> None:
    for number in range(5):
        sqlite_service.receive_paid(number)
    seen, cursor = [], None
    while True:
        page = listed(client, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["checkout_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"chk_{number}" for number in (4, 3, 2, 1, 0)]


def test_resend_adds_a_row_and_keeps_the_original(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    (old,) = listed(client)["items"]
    answer = client.post(f"/notifications/{old['id']}/resend", headers=keyed())
    assert answer.status_code == 201
    new = answer.json
    assert (new["kind"], new["recipient"], new["status"]) == (old["kind"], old["recipient"], "pending")
    assert (new["resend_of"], new["requested_by"]) == (old["id"], "zoe")
    assert new["subject_key"].startswith("ord_1/")
    assert listed(client)["items"] == [new, old]
    sqlite_service.sender.run()
    first, second = sqlite_service.server.messages
    assert first["Message-ID"] != second["Message-ID"]
    assert first.get_body().get_content() == second.get_body().get_content()


def test_resend_of_a_resend_has_the_same_subject(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    identifier = listed(client)["items"][0]["id"]
    for _ in range(2):
        answer = client.post(f"/notifications/{identifier}/resend", headers=keyed()).json
        sqlite_service.sender.run()
        identifier = answer["id"]
    assert answer["subject_key"] == f"ord_1/{identifier}"


def test_second_click_does_not_send_twice(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    path = f"/notifications/{listed(client)['items'][0]['id']}/resend"
    answers = [client.post(path, headers=keyed()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json["type"] == "urn:clozit:problem:notification-unsent"
    assert answers[1].json["notification_id"] == answers[0].json["id"]


def test_failed_mail_can_be_resent_and_a_pending_one_cannot(sqlite_service: Any, client: Any) -> None:
    sqlite_service.server.answers["c1@example.org"] = "550 no"
    sqlite_service.receive_paid(1)
    path = f"/notifications/{listed(client)['items'][0]['id']}/resend"
    assert client.post(path, headers=keyed()).status_code == 409
    sqlite_service.sender.run()
    sqlite_service.server.answers.clear()
    assert client.post(path, headers=keyed()).status_code == 201
    assert sqlite_service.sender.run() == 1
    assert [item["status"] for item in listed(client)["items"]] == ["sent", "failed"]


def test_mail_to_an_erased_customer_cannot_be_resent(sqlite_service: Any, client: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": sqlite_service.clock.now}
    sqlite_service.deliver(own_event("orders.customer.erased", data, correlation_id="chk_1"))
    (item,) = listed(client)["items"]
    answer = client.post(f"/notifications/{item['id']}/resend", headers=keyed())
    assert (answer.status_code, answer.json["type"]) == (409, "urn:clozit:problem:customer-erased")


def test_unknown_notification_is_not_found(client: Any) -> None:
    answer = client.post("/notifications/eml_none/resend", headers=keyed())
    assert (answer.status_code, answer.json["type"]) == (404, "urn:clozit:problem:notification-not-found")


def test_openapi_lists_the_routes_and_service_is_ready(client: Any) -> None:
    assert {"/notifications", "/notifications/{email_id}/resend"} <= client.get("/openapi.json").json["paths"].keys()
    assert client.get("/readyz").json["checks"] == {"database": "ok"}


def test_every_list_in_a_request_has_a_maximum_length(client: Any) -> None:
    assert unlimited_lists(client.get("/openapi.json").json) == []
