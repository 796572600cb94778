"""The rooms of the code: no import cycles, packages that import nothing, few entries at the library's top."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]  # the repository
LIBRARY = ROOT / "libs" / "events" / "events"
PACKAGES = [LIBRARY, *sorted(path.parent for path in ROOT.glob("services/*/*/__init__.py")),
            *(ROOT / name for name in ("bench", "demo", "tools"))]  # fmt: skip
MAX_ENTRIES = 14  # a newcomer reads the list of files at one glance


def imported_names(file: Path, module: str) -> Iterator[str]:
    """Yield the absolute names that a module imports, also within functions. A name may be a module or its member."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                relative_to = package[: len(package) + 1 - node.level] if node.level else []
                source = ".".join([*relative_to, *([node.module] if node.module else [])])
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)


def modules(package: Path) -> Mapping[str, Path]:
    """Return the package's modules by name."""
    names = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if file.name == "__init__.py" else parts)] = file
    return names


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_modules_import_each_other_without_cycles(package: Path) -> None:
    files = modules(package)
    graph = {
        name: {each for each in imported_names(file, name) if each in files} - {name} for name, file in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_package_init_imports_nothing(package: Path) -> None:
    inits = {name: file for name, file in modules(package).items() if file.name == "__init__.py"}
    importing = [name for name, file in inits.items() if [*imported_names(file, name)]]
    assert importing == []


def test_library_has_few_entries_at_its_top() -> None:
    entries = [entry.name for entry in LIBRARY.iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MAX_ENTRIES, sorted(entries)
