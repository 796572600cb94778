import pytest
from notifications.wrapping import MAX_LINE_COLUMNS, NOT_FIRST, NOT_LAST, columns, wrap


def test_links_stay_whole_and_lists_indented() -> None:
    link = "https://shop.example/" + "x" * 100
    assert wrap(link) == f"{link}\n"
    assert all(line.startswith("  ") for line in wrap("x\n  " + "word " * 40).splitlines()[1:])


def test_words_stay_whole_and_no_break_spaces_do_not_break() -> None:
    lines = wrap("deux mots\N{NO-BREAK SPACE}! " * 30).splitlines()
    assert all(columns(line) <= MAX_LINE_COLUMNS for line in lines)
    assert not any(line.startswith(("!", " ")) or line.endswith("mots") for line in lines)
    assert " ".join(lines) == ("deux mots\N{NO-BREAK SPACE}! " * 30).strip()


@pytest.mark.parametrize("start", range(8))
def test_japanese_lines_never_break_before_punctuation(start: int) -> None:
    text = "あ" * start + "ご注文（CLZ-10482）の商品を、発送いたしました。「残り」は1点です。" * 6  # noqa: RUF001
    lines = wrap(text).splitlines()
    assert "".join(lines) == text
    assert all(MAX_LINE_COLUMNS - 10 < columns(line) <= MAX_LINE_COLUMNS for line in lines[:-1])
    assert not any(line[0] in NOT_FIRST or line[-1] in NOT_LAST for line in lines)
    assert not any(line.endswith("CLZ-") for line in lines)
