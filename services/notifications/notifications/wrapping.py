"""Line wrapping of a text part, for languages with and without spaces."""

import re
import unicodedata
from collections.abc import Iterator

SIGNATURE = "-- "  # with its space, mail programs show the lines below it as a footer (RFC 3676, 4.3)
MAX_LINE_COLUMNS = 72  # columns: a quoted line still fits into 80; a Japanese character has two

# Must not begin or end a line in Japanese (kinsoku shori): closing and opening brackets, punctuation, small kana.
NOT_FIRST = "、。，．・：；？！）］｝」』】〉》〕’”ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"  # noqa: RUF001
NOT_LAST = "（［｛「『【〈《〔‘“"  # noqa: RUF001
WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6]"
PIECES = re.compile(rf" +|[{NOT_LAST}]*(?:{WIDE}|(?:(?!{WIDE})[^ ])+)[{NOT_FIRST}]*|[{NOT_LAST}]+")


def wrap(text: str) -> str:
    """Return the text in lines of at most `MAX_LINE_COLUMNS` columns. Links stay whole, and lists stay indented."""
    lines = ("\n".join(_lines(line if line == SIGNATURE else line.rstrip())) for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _lines(line: str) -> Iterator[str]:
    indent = " " * (len(line) - len(line.lstrip(" ")))
    current = ""
    for piece in PIECES.findall(line):
        if current.strip() and columns(current) + columns(piece.rstrip()) > MAX_LINE_COLUMNS:
            yield current.rstrip(" ")
            current = indent + piece.lstrip(" ")
        else:
            current += piece
    yield current


def columns(text: str) -> int:
    """Return the width of a text in columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
