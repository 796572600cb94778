"""The shop's own folder: missing files come from the package, and errors name the file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from notifications.rendering import RenderedMail, render
from notifications.samples import SHOP, sample
from notifications.template_check import check_templates
from notifications.template_loader import Templates, built_in_templates, built_in_translations


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def make(**files: str) -> Path:
        for name, text in files.items():
            kind, _, rest = name.partition("__")
            file = tmp_path / kind / rest.replace("__", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path

    return make


def mail(templates: Templates, kind: str = "order_confirmed", locale: str = "en") -> RenderedMail:
    return render(kind, locale, sample(kind), SHOP, templates)


def test_folder_overrides_single_files_and_texts(folder: Callable[..., Path]) -> None:
    templates = Templates.load(
        folder(
            templates__order_confirmed__html='{% extends "default/order_confirmed.html" %}'
            "{% block body %}<p>Ahoy</p>{{ super() }}{% endblock %}",
            translations__de__toml='[common]\nclosing = "Bis bald"\n',
        )
    )
    check_templates(templates)
    assert "<p>Ahoy</p>" in mail(templates).html
    assert "Thank you for your order" in mail(templates).html
    assert "Ahoy" not in mail(templates).text + mail(templates, "payment_failed").html
    assert "Bis bald\nIhr Clozit-Team" in mail(templates, locale="de").text
    assert "Bis bald" not in mail(built_in_templates(), locale="de").text


def test_new_language_is_one_complete_file(folder: Callable[..., Path]) -> None:
    lines = [
        f"[{section}]\n" + "".join(f"{key} = '''{text}'''\n" for key, text in texts.items())
        for section, texts in built_in_translations()["en"].items()
    ]
    whole = "".join(lines)
    templates = Templates.load(folder(translations__it__toml=whole.replace("Kind regards", "Cordiali saluti")))
    check_templates(templates)
    assert "Cordiali saluti" in mail(templates, locale="it").text
    with pytest.raises(ValueError, match=r"it.toml: \[unsubscribe\] has no .*lead"):
        Templates.load(folder(translations__it__toml="".join(lines[:-1])))


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("translations__de__toml", "[common\n", r"de\.toml"),
        (
            "translations__de__toml",
            '[comon]\nclosing = "x"\n',
            r"\[comon\] is unknown or no table\. Available: com",
        ),
        ("translations__de__toml", 'common = "x"\n', r"\[common\] is unknown or no table"),
        ("translations__de__toml", '[common]\nclosin = "x"\n', "closin: the key is unknown"),
        (
            "translations__de__toml",
            '[order_confirmed]\nlead = "{totl}"\n',
            r"lead: the placeholder \{totl\} is unknown here\. Available: \{shop\}, \{total\}\.",
        ),
        ("translations__de__toml", '[order_confirmed]\nlead = "{total"\n', "lead: expected"),
        ("templates__order_shipped__html", "{% if %}", "order_shipped in de cannot be written.*order_shipped.html:1"),
        ("templates__staff__txt", "{{ order.nothing }}", "staff_.* cannot be written: UndefinedError"),
    ],
)
def test_error_in_the_folder_is_reported_with_its_file(
    folder: Callable[..., Path], file: str, text: str, error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        check_templates(Templates.load(folder(**{file: text})))


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        Templates.load(tmp_path / "nowhere")
