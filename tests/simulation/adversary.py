"""The adversary: decides at each opportunity whether a fault happens there.

Its plan is a list of faults, each a kind and the number of the opportunity. So a plan can be shortened, and the same
plan has the same effect.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random

# Kinds of faults, with the number of opportunities that a typical world has. A fault hits one of them.
KINDS = {
    "crash before commit": 500,
    "crash after commit": 500,
    "crash before publish": 160,
    "crash after publish": 160,
    "crash before ack": 150,
    "crash before answer": 60,
    "crash before mail": 20,
    "crash after mail": 20,
    "publish refused": 160,
    "publish timeout": 160,
    "message duplicated": 150,
    "message delayed": 150,
    "messages reordered": 150,
    "stripe unreachable": 25,
    "stripe timeout after acting": 25,
    "stripe 500": 25,
    "webhook answer lost": 90,
    "webhook sent twice": 90,
    "inventory unreachable": 15,
    "inventory answer lost": 15,
    "database away": 500,
    "mail refused for now": 20,
    "mail connection lost": 20,
    "mail answer lost": 20,
    "clock jumps": 600,
    "stripe makes a second event": 60,
    "stripe forgets an event": 60,
}


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
    count = chance.choice([0, 2, 5, 10, 20, 40])
    kinds = chance.sample([*KINDS], chance.randint(1, len(KINDS)))
    faults = {Fault(kind, chance.randint(1, KINDS[kind])) for kind in (chance.choice(kinds) for _ in range(count))}
    return sorted(faults, key=str)


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
