"""The version and the notes of a release: tools/release.py, on a copy of the files that have a version."""

import re
import shutil
from pathlib import Path

import pytest

from tools import release

ROOT = Path(__file__).parents[2]
URL = "https://git.example/clozit/blob/v9.8.7"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in [*release.version_files(ROOT), ROOT / "CHANGELOG.md"]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_all_files_have_one_version() -> None:
    files = release.version_files(ROOT)
    packages = {path.parent for path in files if path.name == "pyproject.toml"}

    assert re.fullmatch(release.VERSION, release.read_version())
    assert ROOT / "deploy/kubernetes/base/kustomization.yaml" in files
    assert packages == {path.parent for path in ROOT.glob("*/*/pyproject.toml")}


def test_release_changes_every_file_and_can_be_tagged(copy: Path) -> None:
    before = {path: path.read_text() for path in release.version_files(copy)}

    release.write_version("9.8.7", "2030-01-31", copy)

    assert [path for path, text in before.items() if path.read_text() == text] == []
    assert release.check_tag("v9.8.7", copy) == "9.8.7"


def test_changelog_keeps_an_empty_section_above_the_release(copy: Path) -> None:
    unreleased = (copy / "CHANGELOG.md").read_text().partition(release.UNRELEASED)[2].partition("\n## ")[0]

    release.write_version("9.8.7", "2030-01-31", copy)

    changelog = (copy / "CHANGELOG.md").read_text()
    assert f"\n## Unreleased\n\n## 9.8.7 - 2030-01-31\n{unreleased}" in changelog
    assert unreleased.strip() in release.release_notes("9.8.7", root=copy)


def test_release_with_nothing_in_the_changelog_is_refused(copy: Path) -> None:
    release.write_version("9.8.7", "2030-01-31", copy)

    with pytest.raises(release.ReleaseError, match="section Unreleased of CHANGELOG"):
        release.write_version("9.8.8", "2030-02-01", copy)


@pytest.mark.parametrize("version", ["9.8", "v9.8.7", "9.8.7rc1"])
def test_version_that_is_none_is_refused(copy: Path, version: str) -> None:
    with pytest.raises(release.ReleaseError, match="is no version"):
        release.write_version(version, "2030-01-31", copy)


def test_same_version_is_refused_a_second_time(copy: Path) -> None:
    release.write_version("9.8.7", "2030-01-31", copy)

    with pytest.raises(release.ReleaseError, match="published once"):
        release.write_version("9.8.7", "2030-01-31", copy)


def test_tag_of_another_version_is_refused(copy: Path) -> None:
    release.write_version("9.8.7", "2030-01-31", copy)

    with pytest.raises(release.ReleaseError, match=r"Tag v9\.8\.7"):
        release.check_tag("v9.8.6", copy)


def test_tag_without_a_section_in_the_changelog_is_refused(copy: Path) -> None:
    changelog = copy / "CHANGELOG.md"
    changelog.write_text(re.sub(r"(?m)^## \d.*\n", "", changelog.read_text()))

    with pytest.raises(release.ReleaseError, match="has no section"):
        release.check_tag(f"v{release.read_version(copy)}", copy)


def test_file_with_another_version_is_named(copy: Path) -> None:
    odd = copy / "services/orders/pyproject.toml"
    odd.write_text(re.sub(r'(?m)^version = ".+"$', 'version = "9.9.9"', odd.read_text()))

    with pytest.raises(release.ReleaseError, match=r"services/orders/pyproject\.toml: 9\.9\.9"):
        release.read_version(copy)


def test_file_without_a_version_is_named(copy: Path) -> None:
    odd = copy / "libs/events/pyproject.toml"
    odd.write_text(odd.read_text().replace("version = ", "edition = "))

    with pytest.raises(release.ReleaseError, match=r"libs/events/pyproject\.toml: none"):
        release.read_version(copy)


def test_notes_come_first_with_links_that_work_elsewhere(copy: Path) -> None:
    release.write_version("9.8.7", "2030-01-31", copy)
    notes = copy / "docs/releases/9.8.7.md"
    notes.parent.mkdir(parents=True)
    notes.write_text(
        "# Clozit Payments 9.8.7\n\nSee [docs](../operations.md#upgrade) and [Stripe](https://stripe.example).\n"
    )

    text = release.release_notes("9.8.7", URL, copy)

    assert text.startswith(f"See [docs]({URL}/docs/operations.md#upgrade) and [Stripe](https://stripe.example).")
    assert f"]({URL}/docs/glossary.md)" in text
    assert re.findall(r"\]\((?!https://)", text) == []


def test_draft_of_the_notes_is_refused(copy: Path) -> None:
    release.write_version("9.8.7", "2030-01-31", copy)
    notes = copy / "docs/releases/9.8.7.md"
    notes.parent.mkdir(parents=True)
    notes.write_text("<!-- draft: until the console is there -->\n")

    with pytest.raises(release.ReleaseError, match="is a draft"):
        release.check_tag("v9.8.7", copy)
