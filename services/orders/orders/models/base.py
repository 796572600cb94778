"""What all tables of the orders share."""

from events.database.types import metadata
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    metadata = metadata()
