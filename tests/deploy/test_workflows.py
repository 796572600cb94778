"""GitHub's workflows: pinned actions, few permissions, limits, and what they name in the repository.

`make lint` checks their syntax, and zizmor looks for known mistakes. These tests are about this repository.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
USES = re.compile(r"^ *(?:- )?uses: (\S+)(?: +# (.+))?$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
SERVICES = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
MAY_WRITE = {
    ("release", "images"): {"packages", "id-token"},
    ("release", "release"): {"contents", "id-token"},
    ("dependencies", "propose"): {"contents", "pull-requests", "actions"},
}

Job = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    """Return a workflow. YAML 1.1 reads its key `on` as true."""
    workflow: dict[Any, Any] = yaml.safe_load(WORKFLOWS[name].read_text())
    return {"on" if key is True else key: value for key, value in workflow.items()}


def jobs() -> Iterator[tuple[str, str, Job]]:
    for name in WORKFLOWS:
        for job, content in read(name)["jobs"].items():
            yield name, job, content


def scripts() -> Iterator[str]:
    for _, _, job in jobs():
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


def default_base(dockerfile: str) -> str:
    [name] = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "deploy" / dockerfile).read_text(), re.MULTILINE)
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit_with_their_version(name: str) -> None:
    for action, comment in USES.findall(WORKFLOWS[name].read_text()):
        if not action.startswith("./"):
            assert PINNED.fullmatch(action), action
            assert re.fullmatch(r"v\d+\.\d+\.\d+\b.*", comment), f"{action} names no version in its comment"


def test_an_action_has_one_version_everywhere() -> None:
    used = {each for path in WORKFLOWS.values() for each in USES.findall(path.read_text()) if "@" in each[0]}
    names = [action.partition("@")[0] for action, _ in used]

    assert sorted(names) == sorted(set(names)), used


def test_jobs_have_only_the_permissions_that_they_need() -> None:
    for name in WORKFLOWS:
        assert read(name)["permissions"] == {}, name
    writing = {
        (name, job): {scope for scope, access in content["permissions"].items() if access == "write"}
        for name, job, content in jobs()
    }
    assert {key: scopes for key, scopes in writing.items() if scopes} == MAY_WRITE


def test_jobs_that_can_write_run_after_the_checks() -> None:
    release = read("release")["jobs"]

    assert {"check", "test", "audit"} <= set(release["images"]["needs"])
    assert {"wheels", "images"} <= set(release["release"]["needs"])
    assert all(release[job]["environment"] == "release" for job in ("images", "release"))


def test_workflows_have_limits_of_time_and_number() -> None:
    for name in WORKFLOWS:
        assert read(name)["concurrency"]["group"], name
    for name, job, content in jobs():
        assert "uses" in content or content["timeout-minutes"] <= 60, f"{name}: {job}"


def test_a_release_is_never_ended_half_way() -> None:
    assert read("release")["concurrency"]["cancel-in-progress"] is False


def test_checkouts_leave_no_token_behind() -> None:
    for name, job, content in jobs():
        for step in content.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, f"{name}: {job}"


def test_what_is_published_comes_from_no_cache() -> None:
    text = WORKFLOWS["release"].read_text()

    assert "cache-from" not in text
    assert "cache: pip" not in text
    assert text.count("cache-image: false") == text.count("docker/setup-qemu-action@")
    assert text.count("cache-binary: false") == text.count("docker/setup-buildx-action@")


def test_jobs_that_run_the_tests_have_the_full_history() -> None:
    for job in ("test", "coverage", "docker", "compose"):
        assert read("ci")["jobs"][job]["steps"][0]["with"]["fetch-depth"] == 0, job


@pytest.mark.parametrize("name", ["audit", "release"])
def test_every_image_is_built_for_both_platforms(name: str) -> None:
    images = read(name)["jobs"]["images"]
    builds = [step["with"] for step in images["steps"] if "build-push-action" in step.get("uses", "")]

    assert set(images["strategy"]["matrix"]["image"]) == SERVICES | {"demo"}
    assert builds[0]["platforms"] == "linux/amd64,linux/arm64"
    assert all("PYTHON_IMAGE=${{ steps." in build["build-args"] for build in builds)


def test_images_are_tagged_after_they_are_scanned_and_signed() -> None:
    """A tag is what people pull. A step that fails before it leaves no tag."""
    steps = read("release")["jobs"]["images"]["steps"]
    text = [step.get("run", step.get("uses", "")) for step in steps]
    order = ["build-push-action", "docker run", "SBOM Provenance", "scan-action", "cosign verify", "imagetools create"]
    places = [next(index for index, each in enumerate(text) if name in each) for name in order]
    [build] = [step["with"] for step in steps if "build-push-action" in step.get("uses", "")]

    assert places == sorted(places)
    assert "push-by-digest=true" in build["outputs"]
    assert "tags" not in build
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")


def test_base_has_a_digest_and_the_name_that_builds_use() -> None:
    """Builds without the digest work with any image of that name, also where no registry is reached."""
    [base] = re.findall(r"^FROM (\S+)$", (ROOT / "deploy/base.Dockerfile").read_text(), re.MULTILINE)
    name, _, digest = base.partition("@")

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert {default_base("Dockerfile"), default_base("demo.Dockerfile")} == {name}
    assert name in (ROOT / ".ci/run").read_text()


def test_commands_of_the_workflows_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(scripts())
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    files = set(re.findall(r"(?:^|\s)(\.ci/\w+|tools/\w+\.py|deploy/\w+\.\w+)", text))

    assert len(named) > 5
    assert named - targets == set()
    assert files >= {".ci/run", "tools/release.py", "deploy/base.Dockerfile"}
    assert {name for name in files if not (ROOT / name).is_file()} == set()
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_started_workflows_can_be_started() -> None:
    """`gh workflow run` needs workflow_dispatch, and `uses` needs workflow_call."""
    [started] = re.findall(r"for workflow in ([\w. ]+);", "\n".join(scripts()))
    called = {Path(content["uses"]).stem for _, _, content in jobs() if "uses" in content}

    assert all("workflow_dispatch" in read(Path(name).stem)["on"] for name in started.split())
    assert called == {"ci", "audit"}
    assert all("workflow_call" in read(name)["on"] for name in called)


def test_dependabot_looks_where_the_files_are() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    folders = {update["package-ecosystem"]: update.get("directories", [update.get("directory")]) for update in updates}

    assert set(folders) == {"github-actions", "docker", "docker-compose"}
    assert all(any((ROOT / folder[1:]).glob("*Dockerfile")) for folder in folders["docker"])
    assert (ROOT / folders["docker-compose"][0][1:] / "docker-compose.yml").is_file()
