"""The ingest's commands: python -m webhooks web | declare-topology | backfill."""

import click
from amqp import PreconditionFailed
from events.cli import configuration, service_cli
from events.messaging import kombu_connection
from kombu.exceptions import OperationalError

from webhooks.backfill_cli import run_backfill
from webhooks.config import load

CONNECT_TIMEOUT_S = 30  # for one of the broker's nodes; orchestrators start a failed command again

main = service_cli("webhooks", load=load, app="webhooks.app:create_wsgi")


@main.command()
def declare_topology() -> None:
    """Declare the exchanges, queues and bindings. Safe to repeat.

    For brokers on which the services' users have no right to declare (DECLARE_TOPOLOGY=false). BROKER_URL needs a user
    with that right.
    """
    try:
        with kombu_connection.connect(configuration(load).broker_url) as connection:
            connection.ensure_connection(timeout=CONNECT_TIMEOUT_S)
            kombu_connection.declare_topology(connection.default_channel)
    except PreconditionFailed as error:
        raise click.ClickException(
            f"A queue or exchange exists with other arguments, which cannot be changed: {error.reply_text}. "
            "Delete it (a queue only when it is empty), and run this command again."
        ) from error
    except (OSError, OperationalError) as error:
        raise click.ClickException(f"The broker cannot be reached: {error}. Run this command again.") from error
    click.echo("declared")


main.add_command(run_backfill)

if __name__ == "__main__":
    main()
