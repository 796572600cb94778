"""What operators see and may do."""

import pytest
from notifications.app import create_app

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}


@pytest.fixture
def client(small_world):
    return create_app(small_world.config, database=small_world.database).test_client()


def listed(client, **filters):
    answer = client.get("/notifications", query_string=filters, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.json
    return answer.json


@pytest.mark.parametrize(("method", "path"), [("get", "/notifications"), ("post", "/notifications/eml_1/resend")])
def test_only_operators_are_answered(client, method, path):
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.content_type) == (401, "application/problem+json")


def test_list_says_what_was_sent_to_whom_and_when(small_world, client):
    small_world.paid(1)
    small_world.sender.run()
    (item,) = listed(client)["items"]
    assert item["kind"] == "order_confirmed"
    assert item["recipient"] == "c1@example.org"
    assert item["status"] == "sent"
    assert item["sent_at"] == small_world.clock.now.isoformat()
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
def test_filters(small_world, client, filters, found):
    small_world.server.answers["c2@example.org"] = "550 no"
    small_world.paid(1)
    small_world.paid(2)
    small_world.tell("orders.payment.pending", checkout_id="chk_9")
    small_world.sender.run()
    assert [item["checkout_id"] for item in listed(client, **filters)["items"]] == found


@pytest.mark.parametrize("filters", [{"status": "lost"}, {"kind": "x"}, {"limit": 0}, {"cursor": "%%%"}])
def test_bad_filters_are_named(client, filters):
    answer = client.get("/notifications", query_string=filters, headers=AUTHORIZED)
    assert answer.status_code == 422
    assert answer.json["errors"].keys() == filters.keys()


def test_pages_cover_everything_once_newest_first(small_world, client):
    for number in range(5):
        small_world.paid(number)
    seen, cursor = [], None
    while True:
        page = listed(client, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["checkout_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"chk_{number}" for number in (4, 3, 2, 1, 0)]


def test_resend_makes_a_new_row_and_leaves_the_old_one(small_world, client):
    small_world.paid(1)
    small_world.sender.run()
    (old,) = listed(client)["items"]
    answer = client.post(f"/notifications/{old['id']}/resend", headers=AUTHORIZED)
    assert answer.status_code == 201
    new = answer.json
    assert (new["kind"], new["recipient"], new["status"]) == (old["kind"], old["recipient"], "pending")
    assert (new["resend_of"], new["requested_by"]) == (old["id"], "zoe")
    assert new["subject_key"].startswith("ord_1/")
    assert listed(client)["items"] == [new, old]
    small_world.sender.run()
    first, second = small_world.server.messages
    assert first["Message-ID"] != second["Message-ID"]
    assert first.get_body().get_content() == second.get_body().get_content()


def test_resend_of_a_resend_speaks_of_the_same_subject(small_world, client):
    small_world.paid(1)
    small_world.sender.run()
    identifier = listed(client)["items"][0]["id"]
    for _ in range(2):
        answer = client.post(f"/notifications/{identifier}/resend", headers=AUTHORIZED).json
        small_world.sender.run()
        identifier = answer["id"]
    assert answer["subject_key"] == f"ord_1/{identifier}"


def test_second_click_does_not_send_twice(small_world, client):
    small_world.paid(1)
    small_world.sender.run()
    path = f"/notifications/{listed(client)['items'][0]['id']}/resend"
    answers = [client.post(path, headers=AUTHORIZED) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json["type"] == "urn:clozit:problem:notification-under-way"
    assert answers[1].json["notification_id"] == answers[0].json["id"]


def test_failed_mail_can_be_sent_again_and_pending_one_need_not(small_world, client):
    small_world.server.answers["c1@example.org"] = "550 no"
    small_world.paid(1)
    path = f"/notifications/{listed(client)['items'][0]['id']}/resend"
    assert client.post(path, headers=AUTHORIZED).status_code == 409
    small_world.sender.run()
    small_world.server.answers.clear()
    assert client.post(path, headers=AUTHORIZED).status_code == 201
    assert small_world.sender.run() == 1
    assert [item["status"] for item in listed(client)["items"]] == ["sent", "failed"]


def test_unknown_notification(client):
    answer = client.post("/notifications/eml_none/resend", headers=AUTHORIZED)
    assert (answer.status_code, answer.json["type"]) == (404, "urn:clozit:problem:notification-not-found")


def test_openapi_and_health(client):
    assert {"/notifications", "/notifications/{email_id}/resend"} <= client.get("/openapi.json").json["paths"].keys()
    assert client.get("/readyz").json["checks"] == {"database": "ok"}
