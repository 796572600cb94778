"""The loader of templates and texts: the package's own, and in front of them those of the shop's folder TEMPLATES_DIR.

    TEMPLATES_DIR/templates/base.html     replaces ours; {% extends "default/base.html" %} extends ours
    TEMPLATES_DIR/translations/de.toml    replaces ours key by key; a new language has all keys

Files and keys that the folder does not have come from the package. The service checks the folder when it starts. If a
file is broken or an e-mail cannot be rendered, the service names it and stops. If a template fails only with
some e-mail's data, that e-mail is rendered with the package's own (`rendering.render_with_fallback`).
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

FALLBACK_LANGUAGE = "en"

Texts = Mapping[str, Mapping[str, str]]  # section → key → text
Translations = Mapping[str, Texts]  # language → its texts


@dataclass(frozen=True, eq=False)
class Templates:
    """Templates and texts. `overrides` is the shop's folder. None: only the package's own are used."""

    environment: Environment
    translations: Translations
    overrides: Path | None = None

    @classmethod
    def load(cls, overrides: Path | None) -> Self:
        """Load the package's templates and texts. Those of the folder replace them.

        Raises `ValueError`, which names the folder or file, if the folder does not exist or a file of texts is invalid.
        """
        if overrides is None:
            return cls(_environment(PackageLoader(__package__)), built_in_translations())
        if not overrides.is_dir():
            raise ValueError(f"{overrides} is not a folder.")
        ours = PackageLoader(__package__)
        loader = ChoiceLoader([FileSystemLoader(overrides / "templates"), ours, PrefixLoader({"default": ours})])
        return cls(_environment(loader), dict(_overridden(overrides / "translations")), overrides)


@cache
def built_in_templates() -> Templates:
    """Return the package's own templates and texts."""
    return Templates.load(None)


@cache
def built_in_translations() -> Translations:
    """Return the package's own texts."""
    folder = resources.files(__package__) / "translations"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8")) for file in files}


def placeholders(text: str) -> set[str]:
    """Return the names within braces. Raises `ValueError` for an unpaired brace."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _overridden(folder: Path) -> Iterator[tuple[str, Texts]]:
    ours = built_in_translations()
    own = {file.stem: _read(file) for file in sorted(folder.glob("*.toml"))}
    for language in {**ours, **own}:
        base, changed = ours.get(language, {}), own.get(language, {})
        sections = {name: {**base.get(name, {}), **changed.get(name, {})} for name in ours[FALLBACK_LANGUAGE]}
        if language not in ours:
            _check_complete(folder / f"{language}.toml", sections)
        yield language, sections


def _read(file: Path) -> Texts:
    """Read one of the shop's files. Raises `ValueError` if it is not TOML, or has a text that no e-mail uses."""
    try:
        texts: Texts = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file}: {error}") from error
    english = built_in_translations()[FALLBACK_LANGUAGE]
    for section, entries in texts.items():
        if section not in english or not isinstance(entries, dict):
            available = ", ".join(english)
            raise ValueError(f"{file}: the section [{section}] is unknown or no table. Available: {available}.")
        for key, text in entries.items():
            _check_text(file, english, section, key, text)
    return texts


def _check_text(file: Path, english: Texts, section: str, key: str, text: object) -> None:
    known = english[section].get(key, english["common"].get(key))
    if known is None or not isinstance(text, str):
        raise ValueError(f"{file}: [{section}] {key}: the key is unknown, or its value is not a string.")
    available = placeholders(known) | {"shop"}
    try:
        unknown = placeholders(text) - available
    except ValueError as error:
        raise ValueError(f"{file}: [{section}] {key}: {error}") from error
    if unknown:
        names = ", ".join(f"{{{name}}}" for name in sorted(available))
        raise ValueError(
            f"{file}: [{section}] {key}: the placeholder {{{min(unknown)}}} is unknown here. Available: {names}."
        )


def _check_complete(file: Path, sections: Texts) -> None:
    english = built_in_translations()[FALLBACK_LANGUAGE]
    for section, entries in english.items():
        if missing := entries.keys() - sections[section].keys():
            keys = ", ".join(sorted(missing))
            raise ValueError(f"{file}: [{section}] has no {keys}. A new language needs every key of the English texts.")


def _environment(loader: BaseLoader) -> Environment:
    return Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
