"""Both Kubernetes overlays, rendered. Without kubectl, the tests that need them are skipped."""

import shutil

import pytest

from .manifests import Manifest, render


def render_or_skip(overlay: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return render(overlay)


@pytest.fixture(scope="session", params=("local", "production"))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render_or_skip(request.param)


@pytest.fixture(scope="session")
def production() -> list[Manifest]:
    return render_or_skip("production")
