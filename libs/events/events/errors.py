"""The outcomes that handlers and publishers name by raising them."""


class NotYet(Exception):  # noqa: N818 - an outcome, not an error: the cause of this event is still on its way
    """What this event depends on has not arrived: keep it as ``waiting`` and try it again."""


class Ignored(Exception):  # noqa: N818 - an outcome, not an error
    """This event is not this service's business; the inbox records the reason, the handler's writes are undone."""


class Undecodable(Exception):  # noqa: N818 - names what the message is
    """A message whose envelope or body cannot be read: it goes to the dead queue, where people look at it."""


class Unpublished(Exception):  # noqa: N818 - names what is known of the message: nobody vouches for it
    """The broker did not confirm in time, refused, returned or lost the message. It may be stored all the same."""


class Overloaded(Unpublished):
    """As many messages await their confirm as the window allows; nothing was sent."""


class ConfigError(Exception):
    """The environment lacks values or has bad ones; ``problems`` names each."""

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in sorted(problems.items())))
