import pytest
from click.testing import CliRunner
from notifications.__main__ import main
from notifications.kinds import KINDS


def preview(*arguments):
    return CliRunner().invoke(main, ["preview", *arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_preview_shows_the_mail(kind):
    result = preview(kind, "--locale", "de")
    assert result.exit_code == 0, result.output
    assert "Content-Language: de" in result.output
    assert f"To: {'staff@shop' if kind.startswith('staff_') else 'ada@'}" in result.output


def test_preview_shows_the_html_alone():
    assert preview("order_confirmed", "--format", "html").output.startswith("<!doctype html>")


def test_preview_writes_a_file(tmp_path):
    result = preview("refund_succeeded", "--case", "whole", "--format", "html", "--out", str(tmp_path / "mail.html"))
    assert (result.exit_code, result.output) == (0, "")
    assert "everything back that you paid" in (tmp_path / "mail.html").read_text("utf-8")


def test_preview_names_the_cases_that_there_are():
    result = preview("refund_succeeded", "--case", "none")
    assert result.exit_code == 2
    assert "first, whole, duplicate" in result.output


def test_preview_shows_the_shops_own_template_and_says_what_is_wrong_with_it(tmp_path):
    own = tmp_path / "templates" / "order_confirmed.txt"
    own.parent.mkdir()
    own.write_text("Ahoy {{ order.number }}", "utf-8")
    assert "Ahoy CLZ-10482" in preview("order_confirmed", "--templates", str(tmp_path)).output
    own.write_text("Ahoy {{ order.numbre }}", "utf-8")
    result = preview("order_confirmed", "--templates", str(tmp_path))
    assert result.exit_code == 1
    assert "numbre" in result.output
