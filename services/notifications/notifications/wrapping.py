"""The lines of a text part, short enough for every reader, in languages with and without spaces."""

import re
import unicodedata
from collections.abc import Iterator

WIDTH = 72  # columns of a text line, so that a quoted one still fits into 80; a Japanese character takes two

# May not begin or end a line in Japanese (kinsoku shori): closing and opening brackets, punctuation, small kana.
NOT_FIRST = "、。，．・：；？！）］｝」』】〉》〕’”ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"  # noqa: RUF001
NOT_LAST = "（［｛「『【〈《〔‘“"  # noqa: RUF001
WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6]"
PIECES = re.compile(rf" +|[{NOT_LAST}]*(?:{WIDE}|(?:(?!{WIDE})[^ ])+)[{NOT_FIRST}]*|[{NOT_LAST}]+")


def wrap(text: str) -> str:
    """Lines of at most `WIDTH` columns, links whole; a list's further lines stay indented."""
    lines = ("\n".join(_lines(line.rstrip())) for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _lines(line: str) -> Iterator[str]:
    indent = " " * (len(line) - len(line.lstrip(" ")))
    made = ""
    for piece in PIECES.findall(line):
        if made.strip() and columns(made) + columns(piece.rstrip()) > WIDTH:
            yield made.rstrip(" ")
            made = indent + piece.lstrip(" ")
        else:
            made += piece
    yield made


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
