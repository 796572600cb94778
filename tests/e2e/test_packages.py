"""What an installed package brings with it, beyond its modules: revisions, templates, translations."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
WANTED = {
    "libs/events": ["events/migrations/env.py", "events/migrations/inbox/0001_inbox.py", "events/py.typed"],
    "services/orders": ["orders/migrations/versions/0001_orders.py", "orders/py.typed"],
    "services/notifications": ["notifications/templates/base.html", "notifications/translations/de.toml"],
}


@pytest.mark.parametrize("package", WANTED)
def test_wheel_has_all_that_the_package_reads(package: str, tmp_path: Path) -> None:
    source = shutil.copytree(ROOT / package, tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info", "build"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    assert set(WANTED[package]) <= set(ZipFile(wheel).namelist())
