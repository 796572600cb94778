"""The command `python -m bench [ingest] [pipeline] [commits]`: measurements, with tables in bench/results."""

from collections.abc import Callable, Mapping

import click

from bench import commits
from bench.ingest import run as ingest
from bench.options import Options
from bench.pipeline import run as pipeline

PARTS: Mapping[str, Callable[[Options], object]] = {
    "ingest": ingest.run,
    "pipeline": pipeline.run,
    "commits": commits.run,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--seconds", default=Options.seconds, show_default=True, help="Length of one run of ingest or commits.")
@click.option("--repeat", default=Options.repeat, show_default=True, help="Runs of ingest or commits. Median counts.")
@click.option("--purchases", default=Options.purchases, show_default=True, help="Purchases in each pipeline run.")
@click.option("--write/--no-write", default=True, show_default=True, help="Write the tables to bench/results.")
def main(parts: tuple[str, ...], seconds: float, repeat: int, purchases: int, write: bool) -> None:
    """Measure the named parts, or all."""
    for part in parts or PARTS:
        PARTS[part](Options(seconds, repeat, purchases, write))


if __name__ == "__main__":
    main()
