"""The checkout service's commands: python -m checkout web | worker | migrate | seed | inbox | dead-letters | outbox."""

import json
from pathlib import Path

import click
from events.cli import configuration, service_cli
from events.database.engine import Database
from marshmallow import ValidationError

from checkout import catalog
from checkout.chains import CHAINS
from checkout.config import load
from checkout.worker import create_worker

main = service_cli("checkout", load=load, app="checkout.app:create_wsgi", create_worker=create_worker, chains=CHAINS)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def seed(file: Path) -> None:
    """Insert or replace the products, discounts and shipping options of a catalog file. Safe to repeat."""
    try:
        catalog.seed(Database(configuration(load).database_url), json.loads(file.read_text("utf-8")))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} is not a catalog, and nothing was changed: {error}") from error
    click.echo("Catalog seeded.")


if __name__ == "__main__":
    main()
