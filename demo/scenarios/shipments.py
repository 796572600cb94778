"""Scenario of shipments: one order in two parcels."""

from demo.scenarios.run import ScenarioRun

SOCKS, BEANIE = "SOC-MER-SLA-4145", "BEA-RIB-RUS-OS"


def two_parcels(run: ScenarioRun) -> None:
    """Ship an order in two parcels."""
    checkout = run.start_checkout({SOCKS: 2, BEANIE: 1})
    run.pay(checkout)
    parcel = {"carrier": "DHL", "tracking": "JD014600003", "lines": [{"sku": SOCKS, "quantity": 2}]}
    run.operate_and_check("The first parcel is recorded", 201, checkout, "shipments", **parcel)
    run.check_email_says("The customer reads what is still to come", "order_shipped", "Still to come: * 1 × ")  # noqa: RUF001
    run.check("The order is partly shipped", "partial", lambda: run.order_field(checkout, "fulfillment_status"))
    run.operate_and_check("The second parcel is recorded", 201, checkout, "shipments", all=True, carrier="DHL")
    run.check("The order is fulfilled", "fulfilled", lambda: run.order_field(checkout, "fulfillment_status"))
    run.operate_and_check("A third parcel is refused", 409, checkout, "shipments", all=True)
    emails = ["order_confirmed", "order_shipped", "order_shipped"]
    run.check("The customer gets an e-mail for each parcel", emails, run.customer_emails)
