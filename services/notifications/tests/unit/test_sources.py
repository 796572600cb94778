"""The shop's own folder: what it lacks is the package's, what is wrong in it is named."""

import pytest
from notifications.rendering import render
from notifications.samples import SHOP, check, sample
from notifications.sources import Source, built_in, built_in_translations


@pytest.fixture
def folder(tmp_path):
    def make(**files):
        for name, text in files.items():
            kind, _, rest = name.partition("__")
            file = tmp_path / kind / rest.replace("__", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path

    return make


def mail(source, kind="order_confirmed", locale="en"):
    return render(kind, locale, sample(kind), SHOP, source)


def test_folder_overrides_file_by_file_and_text_by_text(folder):
    source = Source.of(
        folder(
            templates__order_confirmed__html='{% extends "default/order_confirmed.html" %}'
            "{% block body %}<p>Ahoy</p>{{ super() }}{% endblock %}",
            translations__de__toml='[common]\nclosing = "Bis bald"\n',
        )
    )
    check(source)
    assert "<p>Ahoy</p>" in mail(source).html
    assert "Thank you for your order" in mail(source).html
    assert "Ahoy" not in mail(source).text + mail(source, "payment_failed").html
    assert "Bis bald\nIhr Clozit-Team" in mail(source, locale="de").text
    assert "Bis bald" not in mail(built_in(), locale="de").text


def test_new_language_is_one_complete_file(folder):
    lines = [
        f"[{section}]\n" + "".join(f"{key} = '''{text}'''\n" for key, text in texts.items())
        for section, texts in built_in_translations()["en"].items()
    ]
    whole = "".join(lines)
    source = Source.of(folder(translations__it__toml=whole.replace("Kind regards", "Cordiali saluti")))
    check(source)
    assert "Cordiali saluti" in mail(source, locale="it").text
    with pytest.raises(ValueError, match=r"it.toml: \[staff_digest\] lacks .*subject"):
        Source.of(folder(translations__it__toml="".join(lines[:-1])))


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("translations__de__toml", "[common\n", r"de\.toml"),
        ("translations__de__toml", '[comon]\nclosing = "x"\n', r"no section \[comon\]"),
        ("translations__de__toml", '[common]\nclosin = "x"\n', "no text 'closin'"),
        ("translations__de__toml", '[order_confirmed]\nlead = "{totl}"\n', r"there is no \{totl\} here"),
        ("translations__de__toml", '[order_confirmed]\nlead = "{total"\n', "lead: expected"),
        ("templates__order_shipped__html", "{% if %}", "order_shipped in de cannot be written.*order_shipped.html:1"),
        ("templates__staff__txt", "{{ order.nothing }}", "staff_.* cannot be written: UndefinedError"),
    ],
)
def test_what_is_wrong_in_the_folder_is_named(folder, file, text, fault):
    with pytest.raises(ValueError, match=fault):
        check(Source.of(folder(**{file: text})))


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder"):
        Source.of(tmp_path / "nowhere")
