"""The base class of all tables of this service."""

from events.database.types import metadata
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """A table of the orders service."""

    metadata = metadata()
