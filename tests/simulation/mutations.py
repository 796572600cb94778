"""The mutation check: guards of docs/delivery.md are broken one by one, and seeds are played until one fails.

A mutation replaces text in a module's source before it is imported, in a process of its own. So exactly the code that
keeps the guarantee is missing, and nothing else changes.
"""

import importlib.machinery
import importlib.util
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

FIRST_SEED = 1


@dataclass(frozen=True)
class Mutation:
    """A guard, and how it is broken: `old` becomes `new` in the source of `module`."""

    guard: str
    module: str
    old: str
    new: str


# The first 20 rows of docs/delivery.md whose code runs in a world, in their order. docs/simulation.md names the rows
# between them whose code does not run.
GUARDS = (
    Mutation(
        "Stripe gets a 200 only after the broker has confirmed the event.",
        "webhooks.receiver",
        "self.broker.wait(self.broker.publish(event))",
        "self.broker.publish(event)",
    ),
    Mutation(
        "A signed event is not lost for odd content: a checkout id that is none is dropped.",
        "webhooks.verification",
        "return checkout_id if _is_short_text(checkout_id) else None",
        "return checkout_id",
    ),
    Mutation(
        "The relay waits for the broker without a transaction.",
        "events.messaging.relay",
        "        if not rows:\n"
        "            return 0\n"
        "        futures = [self._publisher.publish(row.event()) for row in rows]\n",
        "            futures = [self._publisher.publish(row.event()) for row in rows]\n"
        "        if not rows:\n"
        "            return 0\n",
    ),
    Mutation(
        "Rows that a relay claimed before it died are published after 10 s.",
        "events.messaging.outbox",
        "or_(OutboxEvent.claimed_until.is_(None), OutboxEvent.claimed_until < now)",
        "OutboxEvent.claimed_until.is_(None)",
    ),
    Mutation(
        "Events for a queue that takes nothing do not hold up the others.",
        "events.messaging.relay",
        "newest_first=self._has_failed",
        "newest_first=False",
    ),
    Mutation(
        "A message that was moved under its queue's name is handled by its own key.",
        "events.messaging.event",
        '    return message_type if "version" in headers else f"{STRIPE}{message_type}"',
        "    return routing_key",
    ),
    Mutation(
        "An event without a handler can be handled by the next release.",
        "events.messaging.inbox",
        "    _store_payload(session, row, event)\n    session.flush()\n",
        "    session.flush()\n",
    ),
    Mutation(
        "An outbox event is published after any crash: only confirmed rows are marked.",
        "events.messaging.relay",
        "return future.done() and future.exception() is None",
        "return True",
    ),
    Mutation(
        "While the database is away, messages are held.",
        "events.messaging.consumer",
        "                self._wait_for_database(connection, until=held_since + HOLD_LIMIT_S)\n",
        "                for message, _ in readable:\n                    message.ack()\n                return\n",
    ),
    Mutation(
        "A mail server outage loses no e-mail.",
        "notifications.outcomes",
        "self.schedule_retry(email, str(error))",
        "self.mark_failed(email, str(error))",
    ),
    Mutation(
        "An event that Stripe delivered and the system lost comes back.",
        "webhooks.backfill",
        "            publish_with_retries(self._broker, *batch)\n",
        "",
    ),
    Mutation(
        "A change for which Stripe never made an event is found and repaired.",
        "orders.reconciliation.run",
        "if difference.missing_event is None or about is None:",
        "if True:",
    ),
    Mutation(
        "Only finished or published rows are pruned, and only after their retention.",
        "events.messaging.outbox",
        "change_in_chunks(database, _published(OutboxEvent.published_at < before), delete_rows)",
        "change_in_chunks(database, select(OutboxEvent.event_id), delete_rows)",
    ),
    Mutation(
        "Pruning and republishing end, however large the tables are: in chunks.",
        "events.database.chunks",
        "while found == CHUNK_SIZE:",
        "while found == CHUNK_SIZE and not changed:",
    ),
    Mutation(
        "An event takes effect once, however often it is delivered.",
        "events.messaging.inbox",
        "return set(session.scalars(statement, [rows[event_id] for event_id in sorted(rows)]))",
        "return session.execute(statement, [rows[event_id] for event_id in sorted(rows)]) and set(rows)",
    ),
    Mutation(
        "Two Stripe events about one change take effect once.",
        "orders.models.payments",
        "        if self.paid_at is not None:\n            return False\n",
        "",
    ),
    Mutation(
        "Several workers share a backlog and try each event once.",
        "events.messaging.inbox",
        "if row.is_interrupted and row.attempts == attempts[row.event_id]]",
        "if attempts]",
    ),
    Mutation(
        "A session that is recovered unpaid and again when paid takes effect both times.",
        "events.messaging.outbox",
        "_{fact}_{checkout_session['payment_status']}",
        "_recovered",
    ),
    Mutation(
        "Waiters are woken and counters are incremented only after the commit.",
        "events.database.notify",
        "if session.in_nested_transaction():",
        "if False:",
    ),
    Mutation(
        "Every order of arrival ends in the same state.",
        "orders.models.orders",
        "for fact, status in STRONGEST_FIRST if",
        "for fact, status in STRONGEST_FIRST[::-1] if",
    ),
)
# Guards of later rows, and further parts of the same rows.
FURTHER_GUARDS = (
    Mutation(
        "Only finished or published rows are pruned: inbox.",
        "events.messaging.inbox",
        "where(finished, InboxEvent.received_at < before)",
        "where(InboxEvent.received_at < utcnow())",
    ),
    Mutation(
        "Two Stripe events about one change take effect once: inventory.",
        "inventory.reservations",
        "    if not reservation.commit():\n        return False\n",
        "    reservation.commit()\n",
    ),
    Mutation(
        "Two Stripe events about one change take effect once: notifications.",
        "notifications.queueing",
        "        subject_key=subject_key,\n        event_data",
        "        subject_key=f'{subject_key}/{new_id()}',\n        event_data",
    ),
    Mutation(
        "Every order of arrival ends in the same state: an early event waits.",
        "inventory.reservations",
        'raise NotYet(f"the sale of {checkout_id} is not recorded yet")',
        'raise Ignored(f"the sale of {checkout_id} is not recorded yet")',
    ),
    Mutation(
        "Every order of a refund's and a dispute's events ends in the same state: refunds.",
        "orders.models.refunds",
        "        if _sort_key(status, at) <= _sort_key(self.status, self.status_at or self.created_at):\n"
        "            return False\n",
        "",
    ),
    Mutation(
        "Every order of a refund's and a dispute's events ends in the same state: unmatched events.",
        "orders.payments",
        "    before_commit(session, requeue_matched, payment_id)\n",
        "",
    ),
    Mutation(
        "A failing event does not affect the others of its batch.",
        "events.messaging.runner",
        "            with savepoint(session):\n                self._run(event, session)\n",
        "            self._run(event, session)\n",
    ),
    Mutation(
        "A failed handler leaves no partial effect and is retried.",
        "events.messaging.runner",
        "        inbox.release_claim(session, event)\n"
        "        return inbox.store_unhandled(session, event, _status_after(error), error)",
        "        return IGNORED",
    ),
    Mutation(
        "The deferred writes of a failed event are undone, and those of the others stay.",
        "events.database.transaction",
        "        session.info.update(before)\n",
        "",
    ),
    Mutation(
        "A checkout that dies between two phases is continued or cleaned up.",
        "checkout.sweeper",
        "            if checkout.abandon(checkout.check_at or now):\n",
        "            if False:\n",
    ),
    Mutation(
        "The last piece is sold once.",
        "inventory.reservations",
        "    return rows == 1\n",
        "    return True\n",
    ),
    Mutation(
        "A refund is made and booked once, after any crash.",
        "orders.refunds.gateway",
        '{"idempotency_key": request.id}',
        "{}",
    ),
    Mutation(
        "Erasing a customer loses no event, and no later event restores the customer's data.",
        "events.messaging.inbox",
        "            row.redact()\n",
        "            pass\n",
    ),
    Mutation(
        "A payload is dropped once its event is handled.",
        "events.messaging.inbox",
        '("next_attempt_at", "body", "headers", "traceback", "error")',
        '("next_attempt_at", "headers", "traceback", "error")',
    ),
)
MUTATIONS = (*GUARDS, *FURTHER_GUARDS)


class _Breaker(importlib.machinery.SourceFileLoader):
    """Imports one module with other source."""

    def __init__(self, mutation: Mutation, path: str) -> None:
        super().__init__(mutation.module, path)
        self._mutation = mutation

    def find_spec(self, name: str, _path: Any, _target: ModuleType | None = None) -> Any:
        """Find the broken module. It is called as a finder of `sys.meta_path`."""
        if name != self._mutation.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> Any:
        source = self.get_data(self.path).decode()
        if self._mutation.old not in source:
            raise ValueError(f"the source of {fullname} has changed: {self._mutation.old}")
        return compile(source.replace(self._mutation.old, self._mutation.new, 1), self.path, "exec")


def find(number: int, most: int) -> tuple[str, int | None, str]:
    """Break a guard in this new process. Return its name, the first seed that fails (None if none does), and how."""
    mutation = MUTATIONS[number]
    spec = importlib.util.find_spec(mutation.module)
    assert mutation.module not in sys.modules
    assert spec is not None
    assert spec.origin is not None
    sys.meta_path.insert(0, _Breaker(mutation, spec.origin))
    from tests.simulation.installation import Installation
    from tests.simulation.world import Plan, play

    installation = Installation()
    for seed in range(FIRST_SEED, FIRST_SEED + most):
        try:
            world = play(installation, Plan.of(seed))
        except Exception as error:  # noqa: BLE001 - a world that breaks down has noticed it, too
            return mutation.guard, seed, f"{type(error).__name__}: {error}"
        if world.violations:
            return mutation.guard, seed, world.violations[0]
    return mutation.guard, None, ""


def run(most: int, processes: int, numbers: Sequence[int]) -> int:
    """Break each of these guards and print the table. Return 1 if the seeds did not notice one of them."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        found = pool.map(find, numbers, [most] * len(numbers))
        print("| broken guard | found at seed | by |\n|---|---|---|")
        missed = 0
        for guard, seed, how in found:
            missed += seed is None
            print(f"| {guard} | {'not found' if seed is None else seed} | {how[:160]} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":  # nothing that is broken may be imported here: the processes import this module again
    chosen = [int(number) - 1 for number in sys.argv[3:]] or range(len(GUARDS))
    sys.exit(run(int(sys.argv[1]), int(sys.argv[2]), chosen))
