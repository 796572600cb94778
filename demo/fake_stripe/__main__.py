"""`python -m demo.fake_stripe`: the fake on its own, until interrupted."""

import contextlib

import click

from .server import FakeStripe


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=12111, show_default=True)
@click.option("--public-url", help="How browsers reach it, where that is not http://HOST:PORT.")
@click.option("--webhook", "webhooks", type=(str, str), multiple=True, metavar="URL SECRET")
@click.option("--sepa-delay", default=20.0, show_default=True, help="Seconds until a SEPA debit is settled.")
@click.option("--shop-name", default="Clozit", show_default=True)
def main(
    host: str,
    port: int,
    public_url: str | None,
    webhooks: tuple[tuple[str, str], ...],
    sepa_delay: float,
    shop_name: str,
) -> None:
    """A local Stripe: API, payment page and control API."""
    fake = FakeStripe(port, webhooks, sepa_delay=sepa_delay, host=host, public_url=public_url, shop_name=shop_name)
    click.echo(f"The fake Stripe listens on {fake.url}")
    with contextlib.suppress(KeyboardInterrupt):
        fake.serve()


if __name__ == "__main__":
    main()
