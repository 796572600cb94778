"""The check of a shop's own templates: every e-mail must render from its samples."""

from notifications.rendering import render
from notifications.samples import SHOP, all_cases, sample
from notifications.template_loader import Templates


def check_templates(templates: Templates) -> None:
    """Render each sample e-mail in each language. Raises `ValueError` that names the first one that fails."""
    for language in sorted(templates.translations):
        for kind, case in all_cases():
            try:
                render(kind, language, sample(kind, case), SHOP, templates)
            except Exception as error:  # a template may raise anything
                where = f"{templates.overrides}: {kind} in {language}{f' ({case})' if case else ''}"
                raise ValueError(f"{where} cannot be written: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    """Return the error's text, with the template and line of a syntax error."""
    place = ":".join(str(found) for name in ("name", "lineno") if (found := getattr(error, name, None)))
    return f"{type(error).__name__}: {error}{f' ({place})' if place else ''}"
