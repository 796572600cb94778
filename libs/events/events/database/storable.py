r"""Text that PostgreSQL cannot store: NUL, and halves of surrogate pairs.

JSON can spell both as escapes (`\u0000`, `\ud800`). Requests with them are refused. Stripe's JSON is read without
them, because a payment must be booked in spite of its text.
"""

import re
from collections.abc import Iterable
from typing import Any

NUL = "\0"

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE = re.compile(
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<unstorable>u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
    rb"|.)",
    re.DOTALL,
)


def without_unstorable(json_text: bytes) -> bytes:
    """Return JSON text without the escapes of NUL and of lone surrogates; the same bytes if it has none."""
    if not _SUSPECT.search(json_text):
        return json_text
    return _ESCAPE.sub(lambda escape: b"" if escape["unstorable"] else escape[0], json_text)


def is_storable(text: str) -> bool:
    """Return False if a text has NUL or half of a surrogate pair."""
    return NUL not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def has_nul(json_text: bytes) -> bool:
    """Return True if a string or key of a JSON text contains NUL. The text must have no lone surrogates."""
    return rb"\u0000" in json_text and any(escape["unstorable"] for escape in _ESCAPE.finditer(json_text))


def find_nul(document: Any) -> list[str] | None:
    """Return the path, as keys and positions, to the first NUL in a JSON document; None if it has no NUL.

    For a NUL in a key, the path leads to the object that has the key.
    """
    if isinstance(document, str):
        return [] if NUL in document else None
    if isinstance(document, dict):
        if any(NUL in key for key in document):
            return []
        members: Iterable[tuple[Any, Any]] = document.items()
    elif isinstance(document, list):
        members = enumerate(document)
    else:
        return None
    for key, member in members:
        found = find_nul(member)
        if found is not None:
            return [str(key), *found]
    return None


def is_deeper(document: Any, levels: int) -> bool:
    """Return True if the lists and objects of a JSON document are nested more than `levels` deep."""
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(levels):
        members = (value.values() if isinstance(value, dict) else value for value in level)
        level = [member for each in members for member in each if isinstance(member, dict | list)]
        if not level:
            return False
    return bool(level)
