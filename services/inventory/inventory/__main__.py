"""python -m inventory web | worker | migrate | seed | inbox"""

import json
from pathlib import Path

import click
from events.cli import configuration, service_cli
from events.database.engine import Database
from marshmallow import ValidationError

from inventory import ledger
from inventory.config import load
from inventory.models import CHAINS
from inventory.worker import create_worker

main = service_cli("inventory", load=load, app="inventory.app:create_wsgi", create_worker=create_worker, chains=CHAINS)


@main.command(help="Give the products of a catalogue's file, where they are new, the stock that it names.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def seed(file: Path) -> None:
    try:
        new = ledger.seed(Database(configuration(load).database_url), json.loads(file.read_text("utf-8")))
    except (ValidationError, json.JSONDecodeError) as error:
        raise click.ClickException(f"{file} is not a catalogue: {error}") from error
    click.echo(f"{new} new skus")


if __name__ == "__main__":
    main()
