"""The SQL of the revisions, and what squawk finds in it."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from events.database.migrations import Chain, known_revisions, statements
from events.messaging.chains import INBOX, OUTBOX

SERVICES = ("checkout", "inventory", "notifications", "orders")
RULES = Path(__file__).with_name("squawk.toml")
Findings = Mapping[str, Sequence[str]]


def all_chains() -> Sequence[Chain]:
    """Return each chain of the library and of the services once."""
    return [INBOX, OUTBOX, *(import_module(f"{service}.chains").CHAINS[-1] for service in SERVICES)]


def write_upgrades(chain: Chain, folder: Path) -> Iterator[Path]:
    """Write the SQL of each revision after the first one to a file, such as `orders@0002.sql`.

    A first revision only creates tables, in an empty database.
    """
    for start, end in pairwise(known_revisions(chain)):
        yield _write(folder / f"{chain.name}@{end}.sql", statements(chain, start, end))


def write_ways_back(chain: Chain, folder: Path) -> Iterator[Path]:
    """Write the SQL that reverts each revision after the first one."""
    for start, end in pairwise(known_revisions(chain)):
        yield _write(folder / f"{chain.name}@{end}-back.sql", statements(chain, end, start))


def squawk(files: Sequence[Path], excluded: Collection[str] = ()) -> Findings:
    """Return the names of the broken rules by the file's name without its suffix. Raises `FileNotFoundError`."""
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    if program is None:
        raise FileNotFoundError("squawk is not installed: run `make setup`")
    # The option replaces the file's list.
    rules = ",".join([*tomllib.loads(RULES.read_text())["excluded_rules"], *excluded])
    command = [
        program,
        "--config",
        str(RULES),
        "--reporter",
        "json",
        f"--exclude={rules}",
    ]
    done = subprocess.run([*command, *map(str, files)], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"squawk failed: {done.stderr}")
    found: dict[str, list[str]] = {}
    for each in json.loads(done.stdout):
        found.setdefault(Path(each["file"]).stem, []).append(each["rule_name"])
    return found


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
