"""The generator behind `make migration`: writes a service's next revision from its models.

It compares the models with an SQLite database after all revisions so far. Review the result: PostgreSQL may need more.
"""

import sys
import tempfile
from importlib import import_module

from events.database.engine import Database
from events.database.migrations import migrate, new_revision


def main(service: str, name: str) -> None:
    """Write the revision `name` of the service's own chain."""
    chains = import_module(f"{service}.chains").CHAINS
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/{service}.db")
        migrate(database, chains)
        new_revision(database, chains[-1], name)
        database.dispose()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.new_migration <service> <name>")
    main(*sys.argv[1:])
