"""The adversary: decides at each opportunity whether a fault happens there.

Its plan is a list of faults, each a kind and the number of the opportunity. So a plan can be shortened, and the same
plan has the same effect.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Kind:
    """A kind of fault: the number of opportunities in a typical world, of which a fault hits one, and a sentence."""

    opportunities: int
    sentence: str


KINDS = {
    "crash before commit": Kind(300, "the process dies before it commits"),
    "crash after commit": Kind(300, "the process dies after it has committed"),
    "crash before publish": Kind(80, "the process dies before it publishes"),
    "crash after publish": Kind(80, "the process dies after it has published"),
    "crash before ack": Kind(60, "the process dies before it acknowledges a message"),
    "crash before answer": Kind(40, "the process dies before it answers a request"),
    "crash before mail": Kind(12, "the process dies before the mail server has the e-mail"),
    "crash after mail": Kind(12, "the process dies after the mail server has taken the e-mail"),
    "commit answer lost": Kind(300, "the database commits, and its answer is lost"),
    "publish refused": Kind(80, "the broker refuses an event, which may still reach some of its queues"),
    "publish timeout": Kind(80, "the broker's confirm does not come, although the event arrives"),
    "queue takes nothing": Kind(80, "one service's queue takes nothing for some minutes"),
    "broker loses a message": Kind(60, "the broker loses a message, and operators publish it again"),
    "message duplicated": Kind(50, "a message is delivered twice"),
    "message moved": Kind(50, "a message is moved under its queue's name"),
    "message delayed": Kind(50, "a message is delivered after the others of its queue"),
    "messages reordered": Kind(50, "messages are delivered in another order"),
    "stripe unreachable": Kind(15, "Stripe's API does not answer"),
    "stripe timeout after acting": Kind(15, "Stripe's API acts, and its answer is lost"),
    "stripe 500": Kind(15, "Stripe's API answers 500, before or after it has acted"),
    "stripe key refused": Kind(15, "Stripe's API answers 401 for a while: the key was rolled"),
    "stripe makes a second event": Kind(30, "Stripe makes two events of the next change"),
    "stripe forgets an event": Kind(30, "Stripe makes no events of the next changes"),
    "webhook answer lost": Kind(40, "the answer to Stripe's post is lost"),
    "webhook sent twice": Kind(40, "Stripe posts an event twice"),
    "inventory unreachable": Kind(10, "inventory does not answer checkout"),
    "inventory answer lost": Kind(10, "inventory acts, and its answer to checkout is lost"),
    "database away": Kind(300, "a database is away for one transaction"),
    "database frozen": Kind(300, "a database does not answer for a while"),
    "mail refused for now": Kind(12, "the mail server refuses a recipient for now"),
    "mail connection lost": Kind(12, "the connection to the mail server breaks within an e-mail"),
    "mail answer lost": Kind(12, "the mail server takes an e-mail, and its answer is lost"),
    "lease lapses": Kind(60, "an answer comes so late that a claim has ended"),
    "others act meanwhile": Kind(300, "other processes work between two steps of this one"),
    "process pauses": Kind(60, "the process does nothing for longer than its claims last, and its replica works"),
    "clock jumps": Kind(400, "nothing happens for minutes, hours or days"),
    "clock is wrong": Kind(400, "the clock of one service's host is wrong from now on"),
}
RATES = (0.01, 0.03, 0.1)  # of the opportunities; a world without faults is the simplest one


class Crash(BaseException):
    """The death of a process. Nothing catches it but the world, which builds the process again."""

    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


@dataclass(frozen=True)
class Fault:
    """One planned fault: it happens at the `nth` opportunity for its kind."""

    kind: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind} #{self.nth}"

    @property
    def sentence(self) -> str:
        """Say what happens, for a person who reads a trace."""
        return f'At opportunity {self.nth} for the fault "{self.kind}", {KINDS[self.kind].sentence}.'


def plan_faults(chance: Random) -> list[Fault]:
    """Return the faults of a seed: from none to many, so that simple defects are not hidden behind others."""
    kinds = chance.sample([*KINDS], chance.choice((0, 1, 3, 8, len(KINDS))))
    rate = chance.choice(RATES)
    return [
        Fault(kind, nth)
        for kind in kinds
        for most in [KINDS[kind].opportunities]
        for nth in sorted(chance.sample(range(1, most + 1), max(1, round(rate * most))))
    ]


class Adversary:
    """Decides by a plan of faults at each opportunity, and counts the faults that happened, by kind and place."""

    def __init__(self, faults: list[Fault]) -> None:
        self._planned = {(fault.kind, fault.nth) for fault in faults}
        self._kinds = {fault.kind for fault in faults}
        self._met: Counter[str] = Counter()
        self.hits: Counter[tuple[str, str]] = Counter()  # by kind and place
        self.rests = False

    def strikes(self, kind: str, place: str) -> bool:
        """Count an opportunity for this kind of fault, and return True if the fault happens. At rest, none does."""
        if self.rests or kind not in self._kinds:
            return False
        self._met[kind] += 1
        if (kind, self._met[kind]) not in self._planned:
            return False
        self.hits[kind, place] += 1
        return True

    def count(self, *kinds: str) -> int:
        """Return how often these kinds of faults have happened."""
        return sum(count for (hit, _), count in self.hits.items() if hit in kinds)
