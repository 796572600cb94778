"""The fake Stripe as a process: `python -m demo.fake_stripe` serves until it is interrupted."""

import contextlib
from typing import TextIO

import click

from .server import FakeStripe


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=12111, show_default=True, help="The port to listen on.")
@click.option("--public-url", envvar="PUBLIC_URL", help="The URL for browsers, if it is not http://HOST:PORT.")
@click.option("--webhook-url", envvar="WEBHOOK_URL", help="The URL that receives the events. It needs a secret.")
@click.option("--webhook-secret", envvar="WEBHOOK_SECRET", help="The secret that signs the events.")
@click.option("--webhook-secret-file", envvar="WEBHOOK_SECRET_FILE", type=click.File(), help="A file with the secret.")
@click.option(
    "--sepa-delay", default=20.0, show_default=True, help="Seconds until a debit, voucher or transfer is paid or fails."
)
@click.option("--shop-name", default="Clozit", show_default=True, help="The shop's name on the payment page.")
def main(
    host: str,
    port: int,
    public_url: str | None,
    webhook_url: str | None,
    webhook_secret: str | None,
    webhook_secret_file: TextIO | None,
    sepa_delay: float,
    shop_name: str,
) -> None:
    """Serve a fake Stripe: the API, the payment page and the control API."""
    secret = webhook_secret_file.read().strip() if webhook_secret_file else webhook_secret
    if webhook_url and not secret:
        raise click.UsageError("--webhook-url needs --webhook-secret or --webhook-secret-file: events are signed.")
    webhooks = [(webhook_url, secret)] if webhook_url and secret else []
    fake = FakeStripe(port, webhooks, sepa_delay=sepa_delay, host=host, public_url=public_url, shop_name=shop_name)
    click.echo(f"The fake Stripe listens on {fake.url}")
    with contextlib.suppress(KeyboardInterrupt):
        fake.serve()


if __name__ == "__main__":
    main()
