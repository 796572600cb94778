"""Fields of request schemas, shared by the services."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import fields, validate


class StrictBoolean(fields.Boolean):
    """A boolean that accepts only JSON's true and false."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class SearchText(fields.String):
    """The text of a filter. Blank text is refused: it would match everything, and a bulk action would change all."""

    def __init__(self, **kwargs: Any) -> None:
        found = validate.Regexp(r"\s*\S", error="Give the text to search for, or leave this filter out.")
        super().__init__(validate=found, **kwargs)


class Instant(fields.AwareDateTime):
    """An instant with a time zone, loaded in UTC. The years 1 and 9999 are refused."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        loaded = super()._deserialize(value, *args, **kwargs)
        try:
            return to_utc(loaded)
        except ValueError as error:
            raise self.make_error("invalid", input=value, obj_type="datetime") from error


def to_utc(instant: datetime) -> datetime:
    """Return the instant in UTC. Raises `ValueError` for the years 1 and 9999, near which sums can overflow."""
    if not 1 < instant.year < 9999:  # MINYEAR and MAXYEAR of datetime
        raise ValueError(f"{instant} is at the edge of the calendar")
    return instant.astimezone(UTC)


class LimitedList(fields.List[Any]):
    """A list whose length is checked before its items are read, because each item costs time.

    Every list in a request body is a `LimitedList`.
    """

    def __init__(self, item: Any, length: validate.Length, **kwargs: Any) -> None:
        super().__init__(item, validate=length, **kwargs)
        self._check_length = length

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, list):
            self._check_length(value)
        return super()._deserialize(value, *args, **kwargs)


class LimitedDict(fields.Dict):
    """An object whose number of members is checked before they are read, like a `LimitedList`."""

    def __init__(self, length: validate.Length, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check_length = length

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, dict):
            self._check_length(value)
        return super()._deserialize(value, *args, **kwargs)
