"""Disputes: their statuses, deadlines and funds, and the operators' list of them."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config

from services.orders.tests.harness import OPERATOR, OrdersService, Purchase


def test_dispute_is_published_with_its_deadline_and_listed(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.dispute(), purchase.dispute("funds_withdrawn"))
    published = [event for event in service.published() if event.type.startswith("orders.dispute")]
    assert [event.type for event in published] == ["orders.dispute.opened", "orders.dispute.updated"]
    assert [event.data["funds_withdrawn"] for event in published] == [False, True]
    assert published[0].data["evidence_due_by"] is not None

    def get(path: str) -> Any:
        return client.get(path, headers=OPERATOR).get_json()

    def listed(query: str = "") -> list[str]:
        return [dispute["id"] for dispute in get(f"/disputes?{query}")["items"]]

    assert listed() == ["dp_chk_1"]
    assert len(get("/orders?dispute_status=open")["items"]) == 1
    service.deliver(purchase.dispute("closed", "lost"))
    assert (listed(), listed("open=false")) == ([], ["dp_chk_1"])
    assert service.entry_texts()[-1] == (
        "The dispute dp_chk_1 over 57.38 EUR is closed. The shop lost and the customer keeps the money."
    )


@pytest.mark.parametrize("make", ["sqlite_database", "postgres_database"])
def test_disputes_are_paged_by_deadline(request: pytest.FixtureRequest, config: Config, make: str) -> None:
    """Several have none, so a page can end with one of them."""
    database = request.getfixturevalue(make)(CHAINS)
    service, client = OrdersService(database), create_app(config, database=database).test_client()
    for number, due in enumerate((1_794_000_300, None, 1_794_000_100, 1_794_000_100, None, None)):
        purchase = Purchase(f"chk_{number}")
        service.deliver(purchase.started(), purchase.completed(), purchase.dispute(evidence_details={"due_by": due}))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page: Any = client.get(f"/disputes?limit=1{cursor and f'&cursor={cursor}'}", headers=OPERATOR).get_json()
        found += [dispute["id"] for dispute in page["items"]]
        cursor = page["next_cursor"]
    assert found == ["dp_chk_2", "dp_chk_3", "dp_chk_0", "dp_chk_1", "dp_chk_4", "dp_chk_5"]
    assert client.get("/disputes?cursor=WzFd", headers=OPERATOR).status_code == 422


def test_inquiry_moves_no_money_and_may_become_a_dispute(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.dispute(status="warning_needs_response"))
    order = service.order()
    assert (order.dispute_status, order.disputes[0].funds_withdrawn) == ("inquiry", False)
    service.deliver(purchase.dispute("updated"), purchase.dispute("updated", "warning_under_review"))
    assert service.order().dispute_status == "open"
    service.deliver(purchase.dispute("closed", "won"))
    assert service.order().dispute_status == "won"


def test_closed_inquiry_leaves_no_dispute_status(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.dispute("closed", "warning_closed"))
    assert (service.order().dispute_status, service.published_types()[-1]) == ("none", "orders.dispute.closed")
    assert service.entry_texts()[-1] == "The inquiry dp_chk_1 over 57.38 EUR is closed. It did not become a dispute."


def test_unknown_dispute_status_counts_as_open(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.dispute(status="invented_by_stripe"))
    assert service.order().dispute_status == "open"
    assert service.order().disputes[0].status == "invented_by_stripe"


def test_funds_are_read_from_balance_transactions(service: OrdersService, purchase: Purchase) -> None:
    moves = [{"amount": -5738, "created": 1_793_700_000}, {"amount": 5738, "created": 1_793_800_000}]
    closed = purchase.dispute("closed", "won", balance_transactions=moves)
    service.deliver(purchase.started(), purchase.completed(), closed)
    [dispute] = service.order().disputes
    assert dispute.funds_withdrawn_at is not None
    assert (dispute.funds_withdrawn_at.timestamp(), dispute.funds_withdrawn) == (1_793_700_000, False)
