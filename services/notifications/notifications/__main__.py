"""python -m notifications web | worker | migrate | inbox | preview"""

from datetime import UTC, datetime

import click
from events.cli import service_cli

from notifications.config import load
from notifications.message import compose, message_id
from notifications.models import CHAINS, KINDS
from notifications.rendering import render
from notifications.samples import SHOP, sample
from notifications.worker import create_worker

SENDER = "Clozit <orders@shop.example>"

main = service_cli(
    "notifications", load=load, app="notifications.app:create_wsgi", create_worker=create_worker, chains=CHAINS
)


@main.command(help="Write a mail, made from sample data, to standard output.")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--locale", default="en", show_default=True)
@click.option("--html", is_flag=True, help="The HTML part alone.")
def preview(kind: str, locale: str, html: bool) -> None:
    context = sample(kind)
    rendered = render(kind, locale, context, SHOP)
    if html:
        click.echo(rendered.html)
        return
    message = compose(
        rendered,
        sender=SENDER,
        recipient=context["customer_email"],
        message_id=message_id(kind, context["checkout_id"], context["order_id"], SENDER),
        at=datetime.now(UTC),
    )
    for name in ("From", "To", "Subject", "Date", "Message-ID", "Content-Language", "Auto-Submitted"):
        click.echo(f"{name}: {message[name]}")
    click.echo(f"\n{rendered.text}", nl=False)


if __name__ == "__main__":
    main()
