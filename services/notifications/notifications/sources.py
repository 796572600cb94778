"""Where templates and texts come from: the package, and before it the folder of a shop that wants its own.

    TEMPLATES/templates/base.html     in place of ours; {% extends "default/base.html" %} builds on ours
    TEMPLATES/translations/de.toml    in place of ours, key by key; a new language has every key

What the folder lacks is the package's. A folder with a fault is named at the start, which then fails; a fault that only
shows in a mail's own data does not cost the mail: it goes out with the package's template (see `render_anyhow`).
"""

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Self

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    select_autoescape,
)

FALLBACK = "en"

Texts = Mapping[str, Mapping[str, str]]  # section → key → text
Translations = Mapping[str, Texts]  # language → its texts


@dataclass(frozen=True, eq=False)
class Source:
    """`overrides` is the shop's folder, None for the package alone."""

    environment: Environment
    translations: Translations
    overrides: Path | None = None

    @classmethod
    def of(cls, overrides: Path | None) -> Self:
        """Raises `ValueError`, naming the file, where the folder or its translations are not right."""
        if overrides is None:
            return cls(_environment(PackageLoader(__package__)), built_in_translations())
        if not overrides.is_dir():
            raise ValueError(f"{overrides} is no folder.")
        ours = PackageLoader(__package__)
        loader = ChoiceLoader([FileSystemLoader(overrides / "templates"), ours, PrefixLoader({"default": ours})])
        return cls(_environment(loader), dict(_overridden(overrides / "translations")), overrides)


@cache
def built_in() -> Source:
    return Source.of(None)


@cache
def built_in_translations() -> Translations:
    folder = resources.files(__package__) / "translations"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8")) for file in files}


def placeholders(text: str) -> set[str]:
    """The names within braces. Raises `ValueError` for a brace that has no other."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _overridden(folder: Path) -> Iterator[tuple[str, Texts]]:
    ours = built_in_translations()
    own = {file.stem: _read(file) for file in sorted(folder.glob("*.toml"))}
    for language in {**ours, **own}:
        base, changed = ours.get(language, {}), own.get(language, {})
        sections = {name: {**base.get(name, {}), **changed.get(name, {})} for name in ours[FALLBACK]}
        if language not in ours:
            _complete(folder / f"{language}.toml", sections)
        yield language, sections


def _read(file: Path) -> Texts:
    """One of the shop's files. Raises `ValueError` for what no mail of ours would ever say."""
    try:
        texts: Texts = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file}: {error}") from error
    english = built_in_translations()[FALLBACK]
    for section, entries in texts.items():
        if section not in english or not isinstance(entries, dict):
            raise ValueError(f"{file}: there is no section [{section}].")
        for key, text in entries.items():
            _check(file, english, section, key, text)
    return texts


def _check(file: Path, english: Texts, section: str, key: str, text: object) -> None:
    known = english[section].get(key, english["common"].get(key))
    if known is None or not isinstance(text, str):
        raise ValueError(f"{file}: [{section}] has no text {key!r}.")
    try:
        unknown = placeholders(text) - placeholders(known) - {"shop"}
    except ValueError as error:
        raise ValueError(f"{file}: [{section}] {key}: {error}") from error
    if unknown:
        raise ValueError(f"{file}: [{section}] {key}: there is no {{{min(unknown)}}} here.")


def _complete(file: Path, sections: Texts) -> None:
    english = built_in_translations()[FALLBACK]
    for section, entries in english.items():
        if missing := entries.keys() - sections[section].keys():
            raise ValueError(f"{file}: [{section}] lacks {', '.join(sorted(missing))}.")


def _environment(loader: BaseLoader) -> Environment:
    return Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
