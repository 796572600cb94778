import pytest
from click.testing import CliRunner
from notifications.__main__ import main
from notifications.models import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_preview_shows_the_mail(kind):
    result = CliRunner().invoke(main, ["preview", kind, "--locale", "de"])
    assert result.exit_code == 0
    assert "Content-Language: de" in result.output
    assert "Merino jumper" in result.output


def test_preview_shows_the_html_alone():
    result = CliRunner().invoke(main, ["preview", "order_confirmed", "--html"])
    assert result.output.startswith("<!doctype html>")
