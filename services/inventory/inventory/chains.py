"""The migration chains of this service's database."""

from collections.abc import Sequence
from pathlib import Path

from events.database.migrations import Chain
from events.messaging.chains import INBOX, OUTBOX

from inventory.models import Base

CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("inventory", Base.metadata, Path(__file__).parent / "migrations" / "versions"),
)
