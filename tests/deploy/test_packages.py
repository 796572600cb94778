"""The packages: their data files, the library's extras, and what the images leave out."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from docker.utils.build import exclude_paths  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "libs" / "events"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
DATA_FILES = {
    "libs/events": [
        "events/database/alembic/env.py",
        "events/messaging/migrations/inbox/0001_inbox.py",
        "events/py.typed",
    ],
    "services/orders": ["orders/migrations/versions/0001_orders.py", "orders/py.typed"],
    "services/notifications": ["notifications/templates/base.html", "notifications/translations/de.toml"],
}
EXTRAS = {"stripe": "events.stripe_api", "testing": "events.testing"}  # and the modules that need them


def wheel_files(source: Path, folder: Path) -> set[str]:
    """Build a package's wheel with the same build backend as pip, and return the names of its files."""
    build = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=source, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return set(ZipFile(wheel).namelist())


@pytest.mark.parametrize("package", DATA_FILES)
def test_wheel_has_the_files_that_the_package_reads(package: str, tmp_path: Path) -> None:
    source = shutil.copytree(
        ROOT / package, tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    )
    assert set(DATA_FILES[package]) <= wheel_files(source, tmp_path)


@pytest.fixture(scope="module")
def build_context() -> set[str]:
    """Return the files that an image's build can read: those that .dockerignore leaves in the context."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return set(exclude_paths(str(ROOT), [line for line in lines if line and not line.startswith("#")]))


def test_images_are_built_without_tests_and_tools(build_context: set[str]) -> None:
    assert {f"services/{service}/pyproject.toml" for service in SERVICES} <= build_context
    unwanted = ("tests", "tools", "bench", "docs", "testing", ".git", ".venv")
    assert [path for path in sorted(build_context) if not set(Path(path).parts).isdisjoint(unwanted)] == []


def test_library_in_images_has_everything_but_testing(build_context: set[str], tmp_path: Path) -> None:
    for path in build_context:
        if path.startswith("libs/events/") and (ROOT / path).is_file():
            copy = tmp_path / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, copy)
    modules = {path.relative_to(LIBRARY).as_posix() for path in (LIBRARY / "events").rglob("*.py")}

    built = wheel_files(tmp_path / "libs" / "events", tmp_path)

    assert modules - built == {module for module in modules if module.startswith("events/testing/")}


def test_wheels_in_images_contain_the_license(build_context: set[str], tmp_path: Path) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    source = shutil.copytree(
        ROOT / "services" / "webhooks", tmp_path / "source", ignore=shutil.ignore_patterns("*.egg-info", "build")
    )
    shutil.copy(ROOT / "LICENSE", source)

    assert re.findall(r"^COPY LICENSE (\S+)$", dockerfile, re.MULTILINE) == ["libs/events/", "services/${SERVICE}/"]
    assert "LICENSE" in build_context
    assert [name for name in wheel_files(source, tmp_path) if name.endswith("/licenses/LICENSE")] != []


def product_modules() -> Iterator[Path]:
    folders = [LIBRARY / "events", *(ROOT / "services" / service / service for service in SERVICES), ROOT / "demo"]
    for folder in folders:
        for path in folder.rglob("*.py"):
            if not {"testing", "tests"} & set(path.relative_to(folder).parts):
                yield path


def imported_names(paths: Iterable[Path]) -> set[str]:
    """Return the full names of the modules that these files import, and of what they import from them."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imports(module: str, paths: Iterable[Path]) -> bool:
    """Return True if one of the files imports the module or a part of it."""
    return any(name == module or name.startswith(f"{module}.") for name in imported_names(paths))


def top_level(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_product_code_does_not_import_testing() -> None:
    users = [path for path in product_modules() if imports(EXTRAS["testing"], [path])]
    assert [str(path.relative_to(ROOT)) for path in users] == []


def test_services_ask_for_the_extra_that_they_use() -> None:
    for service in SERVICES:
        code = ROOT / "services" / service / service
        [requirement] = [
            name
            for name in tomllib.loads((code.parent / "pyproject.toml").read_text())["project"]["dependencies"]
            if name.startswith("clozit-events")
        ]
        uses_stripe = imports(EXTRAS["stripe"], code.rglob("*.py"))
        assert requirement == ("clozit-events[stripe]" if uses_stripe else "clozit-events"), service


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_lists_what_only_its_modules_import(extra: str) -> None:
    declared = tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needing = {name: set(_files(module)) for name, module in EXTRAS.items()}
    base = set((LIBRARY / "events").rglob("*.py")) - set().union(*needing.values())
    assert top_level(imported_names(needing[extra])) - top_level(imported_names(base)) == set(declared[extra])


def _files(module: str) -> Iterable[Path]:
    path = LIBRARY.joinpath(*module.split("."))
    return path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]


@pytest.mark.parametrize("lock", ["requirements/dev.txt", *(f"services/{name}/requirements.txt" for name in SERVICES)])
def test_lock_file_names_each_extra_that_a_package_asks_for(lock: str) -> None:
    """Without it, pip refuses the hashes as soon as a newer version of that package exists."""
    pinned = [Requirement(line.rstrip("\\ ")) for line in (ROOT / lock).read_text().splitlines() if "==" in line]
    locked = {canonicalize_name(each.name): each for each in pinned if not each.marker or each.marker.evaluate()}
    for name, package in locked.items():
        for line in distribution(name).requires or []:
            asked = Requirement(line)
            of_extras = [{"extra": extra} for extra in ("", *package.extras)]
            if asked.extras and any(asked.marker is None or asked.marker.evaluate(each) for each in of_extras):
                assert asked.extras <= locked[canonicalize_name(asked.name)].extras, f"{name} asks for {line}"
