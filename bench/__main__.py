"""python -m bench [ingest] [pipeline]: measure and write bench/results."""

from collections.abc import Callable, Mapping

import click

from bench.ingest import run as ingest
from bench.options import Options
from bench.pipeline import run as pipeline

PARTS: Mapping[str, Callable[[Options], object]] = {"ingest": ingest.run, "pipeline": pipeline.run}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--seconds", default=Options.seconds, show_default=True, help="How long a run of the ingest takes.")
@click.option("--repeat", default=Options.repeat, show_default=True, help="Runs of which the median counts.")
@click.option("--purchases", default=Options.purchases, show_default=True, help="In each run of the pipeline.")
@click.option("--write/--no-write", default=True, show_default=True, help="Keep the tables in bench/results.")
def main(parts: tuple[str, ...], seconds: float, repeat: int, purchases: int, write: bool) -> None:
    """Both parts, unless some are named."""
    for part in parts or PARTS:
        PARTS[part](Options(seconds, repeat, purchases, write))


if __name__ == "__main__":
    main()
