"""python -m checkout web | worker | migrate | seed | inbox"""

import json
from pathlib import Path

import click
from events.cli import configuration, service_cli
from events.database.engine import Database
from marshmallow import ValidationError

from checkout import catalogue
from checkout.config import load
from checkout.models import CHAINS
from checkout.worker import create_worker

main = service_cli("checkout", load=load, app="checkout.app:create_wsgi", create_worker=create_worker, chains=CHAINS)


@main.command(help="Put a catalogue's file into the database; safe to repeat.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def seed(file: Path) -> None:
    try:
        catalogue.seed(Database(configuration(load).database_url), json.loads(file.read_text("utf-8")))
    except (ValidationError, json.JSONDecodeError) as error:
        raise click.ClickException(f"{file} is not a catalogue: {error}") from error
    click.echo("seeded")


if __name__ == "__main__":
    main()
