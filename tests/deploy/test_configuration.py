"""docs/configuration.md is what docs/configuration.py writes, and describes nothing that no service reads."""

import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "configuration.py"))


def test_page_is_up_to_date(generator: dict[str, Any]) -> None:
    assert (DOCS / "configuration.md").read_text() == generator["page"](), "run `make docs`"


def test_every_setting_is_described_and_no_other(generator: dict[str, Any]) -> None:
    read = {name for service in generator["SERVICES"] for name in generator["settings"](service)}

    assert read == generator["ABOUT"].keys()
