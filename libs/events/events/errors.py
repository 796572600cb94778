"""Errors and control-flow signals that handlers, publishers and settings raise."""


class NotYet(Exception):  # noqa: N818 - a signal, not an error
    """The cause of this event has not arrived: store the event as ``waiting`` and try again."""


class Ignored(Exception):  # noqa: N818 - a signal, not an error
    """This event does not concern the service: record the reason in the inbox and undo the handler's writes."""


class NoHandler(Ignored):
    """This release has no handler for such events: keep the payload for a week, since another release may have one."""


class DecodeError(Exception):
    """The envelope or the body of a message cannot be read: reject it to the dead-letter queue."""


class PublishUnconfirmedError(Exception):
    """The broker did not confirm in time, refused, returned or lost the message. The message may still be stored."""


class PublishWindowFullError(PublishUnconfirmedError):
    """The window is full of unconfirmed messages. Nothing was sent."""


class UnpublishableError(PublishUnconfirmedError):
    """AMQP cannot carry the event's envelope, so a repeat fails too. Nothing was sent."""


class ConfigError(Exception):
    """Settings are missing or invalid; ``problems`` lists them by variable."""

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in sorted(problems.items())))
