"""The migration chains of this service's database."""

from collections.abc import Sequence
from pathlib import Path

from events.database.migrations import Chain
from events.messaging.chains import INBOX, OUTBOX

from checkout.models import Base

CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("checkout", Base.metadata, Path(__file__).parent / "migrations" / "versions"),
)
