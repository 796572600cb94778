"""Errors and control-flow signals that handlers, publishers and settings raise."""


class NotYet(Exception):  # noqa: N818 - a signal, not an error
    """A handler's signal that the event's cause has not arrived. The event is stored as `waiting` and retried."""


class Ignored(Exception):  # noqa: N818 - a signal, not an error
    """A handler's signal that the event does not concern the service.

    The reason is recorded in the inbox, and the handler's writes are undone.
    """


class NoHandler(Ignored):
    """A signal that this release has no handler for the event's routing key.

    The inbox keeps the event's payload for a week, since another release may have a handler.
    """


class DecodeError(Exception):
    """A message whose envelope or body cannot be read. Consumers reject it to the dead-letter queue."""


class PublishUnconfirmedError(Exception):
    """A publish without a confirm: the broker was away or late, or it refused or returned the message.

    The broker may have stored the message even so.
    """


class PublishWindowFullError(PublishUnconfirmedError):
    """A publish that was not sent, because too many messages are in flight."""


class UnpublishableError(PublishUnconfirmedError):
    """A publish that was not sent, because AMQP cannot carry the event's envelope. A repeat fails too."""


class ConfigError(Exception):
    """Missing or invalid settings; `problems` maps each variable to its messages."""

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in sorted(problems.items())))
