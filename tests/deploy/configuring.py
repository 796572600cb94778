"""The commands `make configure` and `make secrets`, run in a copy of what an installation needs."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
ANSWERS = {
    "LIVEMODE": "true",
    "SHOP_URL": "https://shop.example",
    "ALLOWED_ORIGINS": "https://shop.example",
    "PUBLIC_URL": "https://pay.example",
    "MAIL_FROM": "Clozit <orders@shop.example>",
    "STAFF_EMAIL": "staff@shop.example",
    "STRIPE_API_KEY": "sk_live_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "SMTP_URL": "smtps://user:password@mail.example",
}


def configuration() -> ModuleType:
    """Return deploy/configure.py as a module."""
    folder = str(ROOT / "deploy")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("configure", f"{folder}/configure.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


class Installation:
    """A folder with docker-compose.yml and deploy/, as an operator has it after `git clone`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))

    def configure(self, **given: str) -> "subprocess.CompletedProcess[str]":
        """Run `make configure` with these settings in the environment."""
        return self._run("configure.py", **given)

    def configure_for_up(self, **given: str) -> "subprocess.CompletedProcess[str]":
        """Run the first command of `make up`."""
        return self._run("configure.py", "--check", **given)

    def check(self, **given: str) -> "subprocess.CompletedProcess[str]":
        """Run what `make up` runs before it starts containers."""
        checked = self.configure_for_up(**given)
        return checked if checked.returncode else self.make_secrets(**given)

    def make_secrets(self, **given: str) -> "subprocess.CompletedProcess[str]":
        """Run `make secrets`."""
        return self._run("make_secrets.py", **given)

    def secret(self, name: str) -> str:
        """Return a secret."""
        return (self.folder / ".secrets" / name).read_text()

    @property
    def settings(self) -> str:
        """The text of the settings file, or an empty one."""
        file = self.folder / ".env"
        return file.read_text() if file.exists() else ""

    def _run(self, *command: str, **given: str) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, *command]
        return subprocess.run(
            arguments,
            cwd=self.folder / "deploy",
            env={"PATH": "/usr/bin:/bin", **given},
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
        )
