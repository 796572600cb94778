"""The inventory's commands: python -m inventory web | worker | migrate | seed | inbox | dead-letters | outbox."""

import json
from pathlib import Path

import click
from events.cli import configuration, service_cli
from events.database.engine import Database
from marshmallow import ValidationError

from inventory import ledger
from inventory.chains import CHAINS
from inventory.config import load
from inventory.worker import create_worker

main = service_cli("inventory", load=load, app="inventory.app:create_wsgi", create_worker=create_worker, chains=CHAINS)


@main.command(help="Set the opening stock of the new products in a catalog FILE. Existing products are kept.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def seed(file: Path) -> None:
    """Run `ledger.seed` with a file."""
    try:
        added = ledger.seed(Database(configuration(load).database_url), json.loads(file.read_text("utf-8")))
    except (ValidationError, json.JSONDecodeError) as error:
        raise click.ClickException(f"{file} is not a catalog: {error}") from error
    click.echo(f"{added} new skus")


if __name__ == "__main__":
    main()
