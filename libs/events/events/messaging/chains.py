"""The library's migration chains: each service's database has an inbox, and an outbox where it publishes."""

from pathlib import Path

from events.database.migrations import Chain
from events.messaging import inbox_models, outbox

REVISIONS = Path(__file__).parent / "migrations"

INBOX = Chain("inbox", inbox_models.Base.metadata, REVISIONS / "inbox")
OUTBOX = Chain("outbox", outbox.Base.metadata, REVISIONS / "outbox")
