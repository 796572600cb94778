"""A comparison of seeds on two Pythons: `python -m tests.simulation.second_python` compares the bytes of their traces.

It finds a Python of another minor version on the PATH or among pyenv's, and installs the development packages for it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv" / "second-python"
MINORS = (14, 13, 12, 11)
SERVICES = ("checkout", "webhooks", "orders", "notifications", "inventory")
PACKAGES = ("libs/events", *(f"services/{name}" for name in SERVICES))
NOT_FOUND = "there is no other Python 3.11 or later; set SECOND_PYTHON to the path of one"


def find() -> str | None:
    """Return the path of a Python of another minor version than this one, or None."""
    return next(iter(_working()), None)


def digests(python: str, seeds: int) -> Sequence[str]:
    """Return the hashes of the traces of the first seeds, as this Python plays them."""
    paths = [str(ROOT), *(str(ROOT / package) for package in PACKAGES)]
    command = [python, "-m", "tests.simulation", "--seeds", str(seeds), "--processes", "1", "--digests"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    played = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    found = re.findall(r"^(\d+ [0-9a-f]{64})$", played.stdout, re.MULTILINE)
    if len(found) != seeds:
        raise RuntimeError(f"{python} played {len(found)} of {seeds} seeds: {played.stdout}{played.stderr}")
    return found


def prepare(python: str) -> str:
    """Install the development packages for this Python and return the path of its environment's Python."""
    prepared = HOME / "bin" / "python"
    if not prepared.exists():
        subprocess.run([python, "-m", "venv", str(HOME)], check=True)
        install = [str(prepared), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "-r", str(ROOT / "requirements" / "dev.txt")], check=True)
    return str(prepared)


def main(seeds: int) -> int:
    """Compare the first seeds on both Pythons. Return 1 for a difference, and 0 also if there is no second Python."""
    python = find()
    if python is None:
        print(f"skipped: {NOT_FOUND}")
        return 0
    here, there = digests(sys.executable, seeds), digests(prepare(python), seeds)
    different = [one.split()[0] for one, other in zip(here, there, strict=True) if one != other]
    outcome = f"different traces of the seeds {', '.join(different)}" if different else "the same bytes"
    print(f"{seeds} seeds on Python 3.{sys.version_info.minor} and {python}: {outcome}")
    return 1 if different else 0


def _working() -> Iterator[str]:
    for candidate in _candidates():
        asked = [candidate, "-c", "import sys; print(*sys.version_info[:2])"]
        try:
            said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        except OSError:
            continue
        if len(said) == 2 and (int(said[0]), int(said[1])) != sys.version_info[:2]:  # pyenv's shims can say nothing
            yield candidate


def _candidates() -> Iterator[str]:
    if given := os.environ.get("SECOND_PYTHON"):
        yield given
    for minor in MINORS:
        yield from filter(None, [shutil.which(f"python3.{minor}")])
        yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python")))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
