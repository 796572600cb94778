"""The shop as a process beside composed services: `python -m demo.shop`. It shows the e-mails that Mailpit caught."""

import json
from pathlib import Path

import click
from werkzeug.serving import run_simple

from demo.shop.app import ShopConfig, create_shop
from demo.shop.mailpit import Mailpit

CATALOG = Path(__file__).parents[2] / "deploy" / "catalog.json"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="The port to listen on.")
@click.option("--checkout-url", envvar="CHECKOUT_URL", required=True, help="The checkout service's URL for browsers.")
@click.option("--orders-url", envvar="ORDERS_URL", required=True, help="The orders service's URL for browsers.")
@click.option(
    "--inventory-url", envvar="INVENTORY_URL", required=True, help="The inventory service's URL for browsers."
)
@click.option("--mailpit-url", envvar="MAILPIT_URL", required=True, help="The URL of Mailpit's API.")
def main(host: str, port: int, checkout_url: str, orders_url: str, inventory_url: str, mailpit_url: str) -> None:
    """Serve the shop until it is interrupted."""
    config = ShopConfig(
        checkout_url=checkout_url,
        orders_url=orders_url,
        inventory_url=inventory_url,
        shipping_options=json.loads(CATALOG.read_text("utf-8"))["shipping_options"],
    )
    run_simple(host, port, create_shop(config, Mailpit(mailpit_url)), threaded=True)


if __name__ == "__main__":
    main()
