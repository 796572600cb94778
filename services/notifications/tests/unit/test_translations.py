"""The translations: all texts in each language, with the same placeholders and the language's punctuation."""

import re
from typing import Any

import pytest
from notifications.template_loader import built_in_translations, placeholders

OTHERS = sorted(built_in_translations().keys() - {"en"})


def texts(language: str) -> Any:
    return {
        (section, key): text
        for section, entries in built_in_translations()[language].items()
        for key, text in entries.items()
    }


def test_translations_exist_for_three_more_languages() -> None:
    assert OTHERS == ["de", "fr", "ja"]


@pytest.mark.parametrize("language", OTHERS)
def test_each_language_has_all_texts_and_placeholders(language: str) -> None:
    wanted = {key: placeholders(text) for key, text in texts("en").items()}
    assert {key: placeholders(text) for key, text in texts(language).items()} == wanted


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_no_text_is_empty_or_has_stray_spaces(language: str) -> None:
    assert [key for key, text in texts(language).items() if not text or text != text.strip() or "  " in text] == []


def test_french_has_a_no_break_space_before_double_punctuation() -> None:
    wrong = re.compile(r"(?<!\N{NO-BREAK SPACE})[:;!?»]|«(?!\N{NO-BREAK SPACE})|'")
    assert [(key, text) for key, text in texts("fr").items() if wrong.search(text)] == []


def test_japanese_has_full_width_punctuation() -> None:
    wrong = re.compile(r"[:;!?,()]|\. ")
    assert [(key, text) for key, text in texts("ja").items() if wrong.search(text)] == []


def test_german_and_english_have_no_space_before_punctuation() -> None:
    wrong = re.compile(r"\s[:;!?,.]")
    assert [key for language in ("de", "en") for key, text in texts(language).items() if wrong.search(text)] == []
