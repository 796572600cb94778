from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from notifications.__main__ import main
from notifications.kinds import KINDS


def preview(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["preview", *arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_preview_shows_the_mail(kind: str) -> None:
    result = preview(kind, "--locale", "de")
    assert result.exit_code == 0, result.output
    assert "Content-Language: de" in result.output
    assert f"To: {'staff@shop' if kind.startswith('staff_') else 'ada@'}" in result.output


def test_preview_shows_only_the_html() -> None:
    assert preview("order_confirmed", "--format", "html").output.startswith("<!doctype html>")


def test_preview_writes_a_file(tmp_path: Path) -> None:
    result = preview("refund_succeeded", "--case", "whole", "--format", "html", "--out", str(tmp_path / "mail.html"))
    assert (result.exit_code, result.output) == (0, "")
    assert "everything back that you paid" in (tmp_path / "mail.html").read_text("utf-8")


def test_preview_of_an_unknown_case_lists_the_cases() -> None:
    result = preview("refund_succeeded", "--case", "none")
    assert result.exit_code == 2
    assert "first, whole, statement, duplicate" in result.output


def test_preview_shows_the_shops_template_and_its_errors(tmp_path: Path) -> None:
    own = tmp_path / "templates" / "order_confirmed.txt"
    own.parent.mkdir()
    own.write_text("Ahoy {{ order.number }}", "utf-8")
    assert "Ahoy CLZ-10482" in preview("order_confirmed", "--templates", str(tmp_path)).output
    own.write_text("Ahoy {{ order.numbre }}", "utf-8")
    result = preview("order_confirmed", "--templates", str(tmp_path))
    assert result.exit_code == 1
    assert "numbre" in result.output
