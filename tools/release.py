"""The version of a release: write it everywhere, compare it, and print its notes.

The version is in each package's pyproject.toml, in the Kubernetes manifests and in the changelog. `make version` writes
it to all of them, a unit test compares them, and the release workflow compares them with its tag. docs/releasing.md
says when to use which command. The release workflow has no packages, so this imports the standard library only.
"""

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = r"\d+\.\d+\.\d+"
PACKAGE = rf'(?m)^(?P<before>version = ")(?P<version>{VERSION})(?P<after>")$'
PLACES = {  # files, and how a version is written in them
    "libs/*/pyproject.toml": PACKAGE,
    "services/*/pyproject.toml": PACKAGE,
    "deploy/kubernetes/**/kustomization.yaml": rf'(?P<before>newTag: "?)(?P<version>{VERSION})(?P<after>\b)',
    "deploy/**/Chart.yaml": rf'(?m)^(?P<before>(?:version|appVersion): "?)(?P<version>{VERSION})(?P<after>"?)$',
    "deploy/**/README.md": rf"(?P<before>\btag: )(?P<version>{VERSION})(?P<after>\b)",
}
NEEDS_NONE = {"kustomization.yaml", "README.md"}  # an overlay can have other tags, or none
UNRELEASED = "## Unreleased\n"
DRAFT = "<!-- draft"  # begins a comment in the notes that says what is missing in them


class ReleaseError(Exception):
    """The files do not agree, or a release is not ready. The message says what to do."""


def version_files(root: Path) -> dict[Path, str]:
    """Return the files that contain the version, or must contain it, with the pattern of the version in each."""
    return {
        path: pattern
        for glob, pattern in PLACES.items()
        for path in sorted(root.glob(glob))
        if path.name not in NEEDS_NONE or re.search(pattern, path.read_text())
    }


def read_version(root: Path = ROOT) -> str:
    """Return the version. Raise ReleaseError if a file has none, or a different one."""
    found = {}
    for path, pattern in version_files(root).items():
        versions = {match["version"] for match in re.finditer(pattern, path.read_text())}
        found[path.relative_to(root).as_posix()] = sorted(versions)
    versions = {version for each in found.values() for version in each}
    if len(versions) != 1 or not all(found.values()):
        lines = "".join(f"\n  {name}: {', '.join(each) or 'none'}" for name, each in found.items())
        raise ReleaseError(f"These files must have one and the same version. Write it with `make version`.{lines}")
    return versions.pop()


def write_version(version: str, today: str, root: Path = ROOT) -> None:
    """Write the version to all files, and turn the changelog's unreleased section into the version's."""
    if not re.fullmatch(VERSION, version):
        raise ReleaseError(f"{version} is no version. Use three numbers, such as 0.2.0.")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text()
    if re.search(rf"(?m)^## {re.escape(version)} ", text):
        raise ReleaseError(f"CHANGELOG.md already has {version}. A version is published once: use the next one.")
    before, heading, rest = text.partition(UNRELEASED)
    if not heading or not rest.partition("\n## ")[0].strip():
        raise ReleaseError("The section Unreleased of CHANGELOG.md is empty. List what users notice there.")
    changelog.write_text(f"{before}{UNRELEASED}\n## {version} - {today}\n{rest}")
    for path, pattern in version_files(root).items():
        path.write_text(re.sub(pattern, rf"\g<before>{version}\g<after>", path.read_text()))


def release_notes(version: str, links: str | None = None, root: Path = ROOT) -> str:
    """Return the version's notes and its section of the changelog. Relative links get this URL in front.

    Raise ReleaseError if the changelog has no such section, or the notes are a draft.
    """
    section = re.search(
        rf"(?ms)^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(.+?)(?=^## |\Z)", (root / "CHANGELOG.md").read_text()
    )
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section {version} with a date. Write it with `make version`.")
    notes, folder = root / "docs" / "releases" / f"{version}.md", "docs/releases"
    introduction = notes.read_text() if notes.exists() else ""
    if DRAFT in introduction:
        raise ReleaseError(f"{folder}/{version}.md is a draft. Its first comment says what it needs.")
    introduction = re.sub(r"\A# .+\n+", "", introduction)  # the release has a title
    changes = f"## Changes\n\n{section[1].strip()}\n"
    if links:
        introduction = absolute_links(introduction, links, folder)
        changes = absolute_links(changes, links, "")
    return "\n".join(part for part in (introduction, changes) if part)


def absolute_links(text: str, url: str, folder: str) -> str:
    """Return a Markdown text of a file in this folder with absolute links: a release's page is elsewhere."""

    def absolute(match: re.Match[str]) -> str:
        parts: list[str] = folder.split("/") if folder else []
        for part in match[1].split("/"):
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return f"]({url}/{'/'.join(parts)}"

    return re.sub(r"\]\((?!\w+:|#)([^)\s#]+)", absolute, text)


def check_tag(tag: str, root: Path = ROOT) -> str:
    """Return the version of a tag that can be released. Raise ReleaseError if something is missing."""
    version = read_version(root)
    if tag != f"v{version}":
        raise ReleaseError(f"The tag is {tag}, but the version in the files is {version}. Tag v{version}.")
    release_notes(version, root=root)
    return version


def main(arguments: list[str] | None = None) -> None:
    """Run one command, and exit with 1 and the reason if it is refused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version", help="print the version that all files have")
    commands.add_parser("write", help="write a version to all files").add_argument("version")
    commands.add_parser("check", help="check that a tag can be released, and print its version").add_argument("tag")
    notes = commands.add_parser("notes", help="print a version's notes and its part of the changelog")
    notes.add_argument("version")
    notes.add_argument("--links", metavar="URL", help="the URL in front of relative links")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "version":
                result = read_version()
            case "write":
                write_version(given.version, f"{datetime.now(UTC):%Y-%m-%d}")
                result = f"wrote {given.version}: review the change, then follow docs/releasing.md"
            case "check":
                result = check_tag(given.tag)
            case _:
                result = release_notes(given.version, given.links)
    except ReleaseError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{result}\n")


if __name__ == "__main__":
    main()
