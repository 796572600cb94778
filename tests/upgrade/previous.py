"""The previous release's real code, taken from the repository's history."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from events.database.migrations import Chain

from tests.e2e.processes import ROOT

# No release exists yet, so an early commit is the previous release. It is the first one whose first revisions are
# today's: from it on, migrations only expand. The commit that ended "Plain names, plain English, rooms" is a little
# older, and cannot be it: what the issue after it added was folded into the first revisions (5048001). This commit's
# readiness accepts only its own tables, and so does its `migrate`: both accept a later release's only since then.
# Name the tag of the latest release here as soon as there is one.
PREVIOUS_RELEASE = "3d467aeceae097a300b4d7697f6900af86237e5c"
PARTS = ("libs/events", "services")
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


class NoHistoryError(Exception):
    """A copy of the repository without its history."""


@dataclass(frozen=True)
class PreviousRelease:
    """The unpacked code of the previous release. It runs on the packages that today's release needs."""

    folder: Path

    @property
    def python_path(self) -> str:
        """The PYTHONPATH with which a service's command runs this code instead of the installed one."""
        parts = ["libs/events", *(f"services/{service}" for service in SERVICES)]
        return ":".join(str(self.folder / part) for part in parts)

    def newest_revision(self, chain: Chain) -> str:
        """Return this release's newest revision of a chain."""
        return max(path.name[:4] for path in (self.folder / chain.versions.relative_to(ROOT)).glob("[0-9]*.py"))


def unpack(folder: Path) -> PreviousRelease:
    """Unpack the previous release into a folder. Raises `NoHistoryError`."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", PREVIOUS_RELEASE, *PARTS]
    try:
        archive = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise NoHistoryError("the previous release's code needs git") from None
    except subprocess.CalledProcessError as error:
        raise NoHistoryError(
            f"this copy has no commit {PREVIOUS_RELEASE}, the previous release: clone the full history"
            f" ({error.stderr.decode().strip()})"
        ) from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as unpacked:
        unpacked.extractall(folder, filter="data")
    return PreviousRelease(folder)
