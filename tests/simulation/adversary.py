"""The adversary: decides at each opportunity whether a fault happens there.

Its plan is a list of faults, each a kind and the number of the opportunity. So a plan can be shortened, and the same
plan has the same effect.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random

# Kinds of faults, with the number of opportunities that a typical world has. A fault hits one of them.
KINDS = {
    "crash before commit": 300,
    "crash after commit": 300,
    "crash before publish": 80,
    "crash after publish": 80,
    "crash before ack": 60,
    "crash before answer": 40,
    "crash before mail": 12,
    "crash after mail": 12,
    "publish refused": 80,
    "publish timeout": 80,
    "message duplicated": 50,
    "message delayed": 50,
    "messages reordered": 50,
    "stripe unreachable": 15,
    "stripe timeout after acting": 15,
    "stripe 500": 15,
    "stripe makes a second event": 30,
    "stripe forgets an event": 30,
    "webhook answer lost": 40,
    "webhook sent twice": 40,
    "inventory unreachable": 10,
    "inventory answer lost": 10,
    "database away": 300,
    "mail refused for now": 12,
    "mail connection lost": 12,
    "mail answer lost": 12,
    "clock jumps": 400,
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


def plan_faults(chance: Random) -> list[Fault]:
    """Return the faults of a seed: from none to many, so that simple defects are not hidden behind others."""
    kinds = chance.sample([*KINDS], chance.choice((0, 1, 3, 8, len(KINDS))))
    rate = chance.choice(RATES)
    return [
        Fault(kind, nth)
        for kind in kinds
        for nth in sorted(chance.sample(range(1, KINDS[kind] + 1), max(1, round(rate * KINDS[kind]))))
    ]


class Adversary:
    """Carries out a plan and counts what it hit."""

    def __init__(self, faults: list[Fault]) -> None:
        self._planned = {(fault.kind, fault.nth) for fault in faults}
        self._met: Counter[str] = Counter()
        self.hits: Counter[tuple[str, str]] = Counter()  # by kind and place
        self.rests = False

    def strikes(self, kind: str, place: str) -> bool:
        """Return True if the fault happens at this opportunity."""
        if self.rests:
            return False
        self._met[kind] += 1
        if (kind, self._met[kind]) not in self._planned:
            return False
        self.hits[kind, place] += 1
        return True

    def count(self, kind: str) -> int:
        """Return how often a kind of fault has happened."""
        return sum(count for (hit, _), count in self.hits.items() if hit == kind)
