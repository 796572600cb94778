"""Fields of request schemas, shared by the services."""

from typing import Any

from marshmallow import fields


class StrictBoolean(fields.Boolean):
    """A boolean that accepts only JSON's true and false."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)
