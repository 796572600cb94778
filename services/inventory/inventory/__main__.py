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


@main.command(help="Set the opening stock of the new skus in a catalog FILE. The stock of known skus does not change.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def seed(file: Path) -> None:
    """Set the opening stock of a catalog file's new skus and print their number."""
    try:
        added = ledger.seed(Database(configuration(load).database_url), json.loads(file.read_text("utf-8")))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} is not a catalog, and nothing was changed: {error}") from error
    click.echo(f"Opening stock set for new skus: {added}. The stock of known skus did not change.")


if __name__ == "__main__":
    main()
