"""Both overlays, rendered; without kubectl their tests are skipped."""

import shutil

import pytest

from .manifests import Manifest, render


def _rendered(overlay: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    return render(overlay)


@pytest.fixture(scope="session", params=("local", "production"))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return _rendered(request.param)


@pytest.fixture(scope="session")
def production() -> list[Manifest]:
    return _rendered("production")
