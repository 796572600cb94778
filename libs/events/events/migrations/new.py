"""python -m events.migrations.new <service> <name>: write a service's next revision from its models.

For developers. The difference is taken on an SQLite database of its own, so read the result before you keep it.
"""

import sys
import tempfile
from importlib import import_module

from events.database import Database
from events.migrations import migrate, new_revision


def main(service: str, name: str) -> None:
    chains = import_module(f"{service}.models").CHAINS
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/{service}.db")
        migrate(database, chains)
        new_revision(database, chains[-1], name)
        database.dispose()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m events.migrations.new <service> <name>")
    main(*sys.argv[1:])
