"""The commands: python -m notifications web | worker | migrate | inbox | dead-letters | preview."""

from datetime import UTC, datetime
from pathlib import Path

import click
from events.cli import service_cli

from notifications.chains import CHAINS
from notifications.config import load
from notifications.kinds import KINDS
from notifications.message import compose, message_id
from notifications.rendering import RenderedMail, render
from notifications.samples import SHOP, cases, sample
from notifications.template_loader import Templates
from notifications.worker import create_worker

SENDER = "Clozit <orders@shop.example>"
STAFF = "staff@shop.example"

main = service_cli(
    "notifications", load=load, app="notifications.app:create_wsgi", create_worker=create_worker, chains=CHAINS
)


@main.command(help="Write an e-mail of this KIND, with sample data, to standard output or a file.")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--locale", default="en", show_default=True, help="The language of the e-mail, such as de-CH.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html"]),
    default="text",
    show_default=True,
    help="The part to write. The text part begins with the e-mail's headers.",
)
@click.option(
    "--case", default="", help="Another case of the e-mail, such as duplicate. An unknown case lists those of the KIND."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of standard output.")
@click.option(
    "--templates",
    "templates_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="TEMPLATES_DIR",
    help="The folder with the shop's own templates and texts. The default is the setting TEMPLATES_DIR.",
)
def preview(kind: str, locale: str, form: str, case: str, out: Path | None, templates_dir: Path | None) -> None:
    """Render an e-mail from sample data and write it. An error of the shop's own templates ends the command."""
    if case not in cases(kind):
        raise click.BadParameter(
            f"{kind} has no case {case}. Its cases: {', '.join(cases(kind)[1:]) or 'none'}.", param_hint="--case"
        )
    event_data = sample(kind, case)
    try:
        rendered = render(kind, locale, event_data, SHOP, Templates.load(templates_dir))
    except Exception as error:
        if templates_dir is None:
            raise
        raise click.ClickException(
            f"{kind} cannot be written with {templates_dir}: {type(error).__name__}: {error}"
        ) from error
    written = rendered.html if form == "html" else _with_headers(kind, event_data, rendered)
    if out:
        out.write_text(written, "utf-8")
    else:
        click.echo(written, nl=False)


def _with_headers(kind: str, event_data: dict[str, object], rendered: RenderedMail) -> str:
    message = compose(
        rendered,
        sender=SENDER,
        recipient=STAFF if kind.startswith("staff_") else str(event_data["customer_email"]),
        message_id=message_id(kind, None, "sample", SENDER),
        sent_at=datetime.now(UTC),
    )
    names = ("From", "To", "Subject", "Date", "Message-ID", "Content-Language", "Auto-Submitted")
    return "".join(f"{name}: {message[name]}\n" for name in names) + f"\n{rendered.text}"


if __name__ == "__main__":
    main()
