"""The packages that .ci/install asks for, on machines whose commands are stand-ins that log how they are called."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.test_storefront import BROWSERS

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / ".ci/install"
REAL = ("bash", "dirname", "env", "ls")
SERVERS = "rabbitmq-server prometheus prometheus-alertmanager"
DEBIAN = "echo '  Candidate: 156.0-1~deb13u1'"
UBUNTU = "true"  # it knows no package chromium
VIRTUAL = "echo '  Candidate: (none)'"  # the name of a package that another one provides
SNAP_ONLY = "echo 'requires the chromium snap to be installed' >&2; exit 1"


class Machine:
    """A folder of commands, which is the PATH of .ci/install."""

    def __init__(self, folder: Path, apt_cache: str) -> None:
        self.folder, self.log = folder, folder / "log"
        for name in REAL:
            path = shutil.which(name)
            assert path, name
            (folder / name).symlink_to(path)
        self.log.touch()
        self.add("id", "echo 1000")
        self.add("apt-cache", apt_cache)
        self.add("apt-get", "")
        self.add("sudo", '[ "$1" != test ]')  # without the acts of root

    def add(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"""#!/bin/sh\nprintf '%s\\n' "{name} $*" >>"{self.log}"\n{script}\n""")
        path.chmod(0o755)

    def install(self) -> list[str]:
        """Run .ci/install, and return what it did as root."""
        environment = {"PATH": str(self.folder), "TEST_DATABASE_URL": "postgresql://elsewhere"}
        subprocess.run([INSTALL], env=environment, check=True, timeout=60)
        return [line.removeprefix("sudo ") for line in self.log.read_text().splitlines() if line.startswith("sudo ")]

    def packages(self) -> str:
        installs = [act for act in self.install() if "apt-get install" in act]
        return re.sub(r".*--no-install-recommends ", "", installs[0]) if installs else ""


def machine(folder: Path, apt_cache: str, **commands: str) -> Machine:
    made = Machine(folder, apt_cache)
    for name, script in commands.items():
        made.add(name.replace("_", "-"), script)
    return made


def test_bare_debian_gets_servers_and_chromium(tmp_path: Path) -> None:
    assert machine(tmp_path, DEBIAN).packages() == f"{SERVERS} chromium"


@pytest.mark.parametrize("apt_cache", [UBUNTU, VIRTUAL])
def test_bare_ubuntu_gets_servers_and_no_chromium(tmp_path: Path, apt_cache: str) -> None:
    assert machine(tmp_path, apt_cache).packages() == SERVERS


def test_ubuntu_with_a_script_that_names_a_snap_has_no_browser(tmp_path: Path) -> None:
    ubuntu = machine(tmp_path, UBUNTU, chromium_browser=SNAP_ONLY)

    assert ubuntu.packages() == SERVERS
    assert subprocess.run([ROOT / ".ci/browser"], env={"PATH": str(tmp_path)}, check=False).returncode == 1


@pytest.mark.parametrize("name", BROWSERS)
def test_any_known_browser_is_enough(tmp_path: Path, name: str) -> None:
    made = machine(tmp_path, DEBIAN)
    made.add(name, "")

    assert made.packages() == SERVERS


def test_complete_machine_is_left_alone(tmp_path: Path) -> None:
    complete = machine(tmp_path, DEBIAN, rabbitmq_server="", promtool="", amtool="", google_chrome="")

    assert complete.install() == []


def test_servers_of_the_packages_are_not_started(tmp_path: Path) -> None:
    acts = machine(tmp_path, DEBIAN).install()
    [install] = [index for index, act in enumerate(acts) if "apt-get install" in act]
    policy, copy = "/usr/sbin/policy-rc.d", tmp_path / "policy-rc.d"
    before = acts[install - 1].removeprefix("sh -c ").replace(policy, str(copy))
    subprocess.run(["sh", "-c", before], check=True)

    assert subprocess.run([copy], check=False).returncode == 101, "Debian's word for: do not start it"
    assert acts[install + 1 :] == [f"rm -f {policy}"]


def test_scripts_can_be_started() -> None:
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "install", "browser"))
