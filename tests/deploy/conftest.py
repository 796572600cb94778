"""Both Kubernetes overlays, rendered. Without kubectl, the tests that need them are skipped."""

import shutil

import pytest

from tools.operator_fields import render

from .manifests import Manifest


def render_or_skip(folder: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return render(folder)


@pytest.fixture(scope="session", params=("local", "production"))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render_or_skip(f"overlays/{request.param}")


@pytest.fixture(scope="session")
def local() -> list[Manifest]:
    return render_or_skip("overlays/local")


@pytest.fixture(scope="session")
def production() -> list[Manifest]:
    return render_or_skip("overlays/production")


@pytest.fixture(scope="session")
def recovery() -> list[Manifest]:
    return render_or_skip("overlays/recovery")


@pytest.fixture(scope="session")
def gateway() -> list[Manifest]:
    return render_or_skip("components/gateway")
