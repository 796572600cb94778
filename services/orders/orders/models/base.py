"""The base class of all tables of this service."""

from events.database.types import metadata
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The declarative base class of the service's tables."""

    metadata = metadata()
