"""Facts about our own events that both generated documents use: docs/events.md and docs/asyncapi.json."""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from events.messaging.contracts.registry import SCHEMAS
from marshmallow import Schema

EXAMPLES = Path("libs/events/tests/contracts")  # <type>.v<version>.json for every contract
STRIPE_TYPES = "https://docs.stripe.com/api/events/types"

# When each event is published. One schema can serve several events, so its docstring cannot say it.
OCCASIONS: Mapping[str, str] = {
    "checkout.checkout.started": "Stripe has created the session, and the customer can go to the payment page.",
    "checkout.checkout.canceled": "The checkout was canceled before payment, or no customer ever got its URL.",
    "orders.order.paid": "The order is paid as agreed and can be fulfilled.",
    "orders.payment.pending": "The customer used a delayed payment method, or Stripe has said how they have to pay.",
    "orders.payment.failed": "A delayed payment has failed. The session is not paid.",
    "orders.order.expired": "The session ended without a payment.",
    "orders.order.canceled": "The checkout was canceled before payment, or an operator canceled the paid order.",
    "orders.review.opened": "A payment does not match its order, or another reason needs a decision before more ships.",
    "orders.review.resolved": "An operator, the shop's policy or an event from Stripe has resolved a review.",
    "orders.stock.returned": "Sold pieces are for sale again, because of a refund with restock or a cancellation.",
    "orders.stock.taken": "A refund with restock failed: its unshipped pieces are owed again and leave the stock.",
    "orders.goods.changed": "A refund, a failed refund or a cancellation has changed which paid pieces still ship.",
    "orders.order.shipped": "An operator has marked a parcel with some or all pieces as shipped.",
    "orders.refund.succeeded": "Stripe has sent money back to the customer, also for a refund from the dashboard.",
    "orders.refund.failed": "A refund did not reach the customer, sometimes days later. The shop has the money again.",
    "orders.dispute.opened": "The customer's bank has opened a dispute or an inquiry about the payment.",
    "orders.dispute.updated": "A dispute's status, deadline or funds have changed.",
    "orders.dispute.closed": "A dispute or inquiry has ended: won, lost or closed.",
    "orders.customer.erased": "An operator has erased the personal data of an order's customer.",
    "inventory.stock.low": "A check has found at most LOW_STOCK_THRESHOLD available pieces of a sku.",
    "inventory.reservation.expiring": "Pieces are held for a delayed payment, and their reservation ends soon.",
    "inventory.reservation.doubted": "Reserved pieces of an unpaid checkout were lost, or an operator released them.",
    "inventory.reservation.committed": "A checkout was paid late or after a doubt, and its stock was still there.",
    "inventory.reservation.oversold": "An order was paid, or a refund with restock failed, but the pieces are gone.",
}


def page_command(page: Path, text: Callable[[Path], str], summary: str) -> click.Command:
    """Return a tool's command: it calls `text` with the folder of the contracts' examples, and writes the page."""

    @click.command(help=summary)
    @click.argument("examples", type=click.Path(exists=True, file_okay=False, path_type=Path), default=EXAMPLES)
    @click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        default=page,
        show_default=True,
        help="The file to write.",
    )
    def main(examples: Path, out: Path) -> None:
        out.write_text(text(examples), encoding="utf-8")
        click.echo(out)

    return main


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every contract and of the schemas nested in them, by class name."""
    plugin = MarshmallowPlugin(schema_name_resolver=class_name)
    spec = APISpec("events", "1", "3.1.0", plugins=[plugin])
    classes = {class_name(schema): schema for schema in SCHEMAS.values()}
    for name, schema in classes.items():
        if name not in spec.components.schemas:
            spec.components.schema(name, schema=schema)
    for key, name in plugin.converter.refs.items():  # type: ignore[union-attr]
        document = spec.components.schemas[name]
        document["description"] = inspect.getdoc(resolve_schema_cls(key[0])) or ""
        document.pop("additionalProperties", None)  # publishers are strict; readers must accept new fields
    return dict(spec.components.schemas)


def class_name(schema: Any) -> str:
    """Return the class name of a schema that is given as an instance, a class or a string."""
    found: type[Schema] = resolve_schema_cls(schema)  # type: ignore[assignment]
    return found.__name__


def example(examples: Path, event_type: str, version: int) -> dict[str, Any]:
    """Return the example of a contract: the data in its golden JSON."""
    path = examples / f"{event_type}.v{version}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def publisher(event_type: str) -> str:
    """Return the service that publishes the event."""
    return event_type.split(".", 1)[0]
