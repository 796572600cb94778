"""A world: all services, their surroundings and their people, in one thread and on one clock.

A scheduler with a seed chooses what happens next: a message arrives, a loop runs, Stripe posts an event, an actor acts.
After the last act the world comes to rest: the adversary stops, and time passes until nothing is left to do.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from random import Random
from typing import Any

import stripe
from events.database.errors import is_away
from events.errors import PublishUnconfirmedError
from events.messaging import outbox
from events.messaging.loops import Loop
from events.messaging.worker import Worker
from werkzeug.test import TestResponse

from demo.fake_stripe.account import Config as StripeConfig
from demo.fake_stripe.errors import StripeError
from tests.simulation import actors, properties
from tests.simulation.adversary import Adversary, Crash, Fault, plan_faults
from tests.simulation.installation import OPERATORS, WEBHOOK_SECRET, Installation
from tests.simulation.nature import BEGINNING, Nature
from tests.simulation.outside import LATE_S, SHOVEL, US, Bus, NoConnection, Silence, Tasks, Wakeup

MAX_BATCH = 8  # messages of one delivery
RESTART_S = 2.0  # a dead process is back after this time
HOUR_S = 3600
DAY_S = 24 * HOUR_S
FIRST_JUMPS_S = (10, 120, 900, 2 * HOUR_S, 8 * HOUR_S)  # the way to rest; then days, and longer ones if all is quiet
REST_S = 11 * DAY_S  # after this time nothing is left to do
RECONCILED_AFTER_S = DAY_S  # operators run the job when no webhook can be on its way any more
WRONG_BY_S = (-7200, -600, -45, 45, 240, 600, 7200)  # how wrong a host's clock can be
LONG_JUMP_S = DAY_S  # before one, operators have repaired what the broker has lost
REPAIR_WEIGHT = 0.5
SESSIONS = "checkout.session.*"
ALL_EVENTS = 1_000_000  # events that Stripe does not make: no world has as many
RELAY_RUNS = 3  # until a relay must have published what working queues take
BLOCKING = "listen"  # the loop that waits for PostgreSQL's notifications; the others poll, too
SELDOM = ("prune", "prune-abandoned", "unmatched-events")  # they have work after days: once on the way to rest
AWAY = ("database away", "database frozen", "commit answer lost")
FORM = "application/x-www-form-urlencoded"
CUSTOMER_ATTEMPTS = 4  # a browser repeats a request that had no clear answer
MAX_STEPS = 5000  # a world that does not come to rest by then never does


@dataclass(frozen=True)
class Plan:
    """The plan of a world: the acts and the faults. Their order follows from the seed."""

    seed: int
    acts: tuple[actors.Act, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int) -> "Plan":
        """Return the plan of a seed."""
        chance = Random(f"{seed}/plan")
        return cls(seed, tuple(actors.plan_acts(chance)), tuple(plan_faults(chance)))

    def to_text(self) -> str:
        """Return the plan as text: the seed, the numbers of its acts, and its faults."""
        acts = ",".join(str(act.number) for act in self.acts)
        return f"{self.seed}/{acts}/{','.join(f'{fault.kind}#{fault.nth}' for fault in self.faults)}"

    @classmethod
    def from_text(cls, plan: str) -> "Plan":
        """Return the plan of a text from `to_text`. Raise `KeyError` for an act that the seed does not have."""
        seed, acts, faults = plan.split("/")
        known = {act.number: act for act in cls.of(int(seed)).acts}
        pairs = [fault.partition("#")[::2] for fault in faults.split(",") if fault]
        numbers = [int(number) for number in acts.split(",") if number]
        return cls(
            int(seed), tuple(known[number] for number in numbers), tuple(Fault(kind, int(n)) for kind, n in pairs)
        )


class World:
    """One run of a plan. `violations` has what is wrong, `trace` has what happened."""

    def __init__(self, installation: Installation, plan: Plan) -> None:
        self.installation, self.plan = installation, plan
        self.nature = Nature(plan.seed, lambda: self.running_service)
        self.chance = Random(f"{plan.seed}/schedule")
        self.adversary = Adversary(list(plan.faults))
        self.bus = Bus(self)
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.delivered = 0  # messages that a service has acknowledged
        self.posted = 0  # events that Stripe has posted to the ingest
        self.mails: list[EmailMessage] = []
        self.visits: Counter[str] = Counter()  # loops, routes, handlers and acts, and the faults that hit them
        self.doing: list[str] = []  # the handlers, loop or route that run now
        self.steps = 0
        self.others_acted = False  # since the current loop has begun
        self.loop_began = 0.0
        self._are_others = False  # the code that runs now has interrupted another process
        self._begun = 0  # transactions and calls that the running step has begun
        self._stack: list[str] = []
        self._dead: set[str] = set()
        self._careful: set[str] = set()  # services whose consumer takes one message at a time, after a death
        self._due: dict[tuple[str, str], float] = {}
        self._acts = list(plan.acts)
        self.workers: dict[str, Worker] = {}

    def play(self) -> "World":
        """Play the plan to its end, and check the properties."""
        self.installation.seat.world = self
        with self.nature.ruling():
            self.installation.reset()
            self.tasks = Tasks()
            config = StripeConfig(
                time_source=self.nature.time,
                followup_delay=1,
                sepa_delay=2 * 24 * 3600,
                webhook_backoff=(5, 60, 600, 3600, 6 * 3600),
                webhooks=[("http://webhooks.test/webhooks/stripe", WEBHOOK_SECRET)],
                webhook_pool=self.tasks,
                webhook_transport=self.installation.webhook_transport,
            )
            self.account = self.installation.open_account(config)
            self.clients = {name: app.test_client() for name, app in self.installation.apps.items()}
            self.people = actors.People(self)
            self.handled_before = properties.handled_counts()
            for service in self.installation.databases:
                self._start(service, 0)
            while self._acts and not self.violations:
                self._step()
            if not self.violations:
                self._come_to_rest()
            if not self.violations:
                self.violations += properties.check(self)
        return self

    @property
    def digest(self) -> str:
        """The hash of the trace: the same one whenever the same plan is played."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.nature.now - BEGINNING:12.2f} s  {text}")

    def violate(self, text: str) -> None:
        """Record that a property does not hold."""
        self.say(f"VIOLATION {text}")
        self.violations.append(text)

    # processes

    @contextmanager
    def running(self, process: str) -> Iterator[None]:
        """Let the code of the block run as this process. After its death the process is built again."""
        self._stack.append(process)
        self._begun = 0
        try:
            yield
        except Crash as crash:
            if crash.process == process:
                self._restart(process)
            raise
        finally:
            self._stack.pop()

    @property
    def is_process(self) -> bool:
        """True while a process runs: not the people, Stripe or the properties."""
        return bool(self._stack)

    @property
    def running_service(self) -> str | None:
        """The service whose process runs now, or None."""
        return self._stack[-1].split()[0] if self._stack else None

    def at_network(self) -> None:
        """Check that the running process has no transaction open before it waits for an answer from the network.

        Then the answer can come late and other processes can act, if the adversary decides so.
        """
        database = self.installation.databases.get(self.running_service or "")
        if database and database.open_writes:
            self.violate(f"{self._stack[-1]} waits for the network within a transaction")
        if self.strikes("lease lapses"):
            self.nature.advance(self.chance.choice(LATE_S))
        self.let_others_act()

    def let_others_act(self) -> None:
        """Let other processes work, if the adversary decides so. The running process has no transaction open."""
        if self._are_others or not self._stack:
            return
        self._begun += 1
        if self._begun > 1 and self.strikes("process pauses"):  # before, it has claimed nothing and read nothing
            service = self._stack[-1].split()[0]
            with self._others():
                self._let_replica_work(service)
        if self.strikes("others act meanwhile"):
            with self._others():
                for _ in range(self.chance.randint(1, 4)):
                    self._choose(self._options())
                    self.nature.advance(self.chance.choice((0.01, 1, 12)))

    def _let_replica_work(self, service: str) -> None:
        """Let time pass, and let another worker of this service run each of its loops that is due."""
        self.nature.advance(self.chance.choice(LATE_S))
        worker = self.workers.get(service)
        loops = [loop for loop in _stepped(worker.loops) if loop.name not in SELDOM] if worker else []
        for loop in self.chance.sample(loops, len(loops)):
            if self._due[service, loop.name] <= self.nature.now:
                self._run_loop(service, loop)

    @contextmanager
    def _others(self) -> Iterator[None]:
        """Interrupt the running process: the block is the work of others."""
        stack, doing = self._stack, self.doing
        self._stack, self.doing, self._are_others = [], [], True
        try:
            yield
        finally:
            self._stack, self.doing, self._are_others = stack, doing, False
        self.others_acted = True
        self.say("  this was meanwhile")

    def point(self, kind: str) -> None:
        """Let the running process die here, if the adversary wants it. One that has interrupted another does not."""
        self.check_alive()
        if self._stack and not self._are_others and self.strikes(kind):
            self._dead.add(self._stack[-1])
            raise Crash(self._stack[-1])

    def check_alive(self) -> None:
        """Raise `Crash` in a process that has died: what it does on its way out has no effect."""
        if self._stack and self._stack[-1] in self._dead:
            raise Crash(self._stack[-1])

    def strikes(self, kind: str) -> bool:
        """Count an opportunity for this kind of fault. If the fault happens, add it to the trace and return True."""
        place = self._stack[-1] if self._stack else "outside"
        if not self.adversary.strikes(kind, place):
            return False
        self.visits.update(f"hit {name}" for name in set(self.doing))
        self.say(f"  FAULT {kind} ({place})")
        return True

    def _start(self, service: str, delay: float) -> None:
        self.workers[service] = self.installation.build_worker(service)
        for loop in _stepped(self.workers[service].loops):
            self._due[service, loop.name] = self.nature.now + delay

    def _restart(self, process: str) -> None:
        self._dead.discard(process)
        service = process.removesuffix(" worker")
        if service in self.workers:
            self.bus.return_unacked(service)
            self._start(service, RESTART_S)
            self._careful.add(service)
        self.say(f"  {process} has died and starts again")

    def run_as(self, process: str, do: Callable[[], object]) -> bool:
        """Run a step of a process. Return False if it died."""
        try:
            with self.running(process):
                do()
        except Crash as crash:
            if crash.process != process:
                raise
            return False
        return True

    def run_command(self, name: str, do: Callable[[], object]) -> bool:
        """Run a command and return True if it came to its end.

        It may die, or find its database, the broker or Stripe away: its operator sees that.
        """
        try:
            alive = self.run_as(name, do)
        except Exception as error:
            if not is_away(error) and not isinstance(error, stripe.StripeError | PublishUnconfirmedError):
                raise
            alive = False
        self.say(f"  {name} {'is done' if alive else 'has failed'}")
        return alive

    # the scheduler

    def _step(self) -> None:
        self._choose(self._options())
        self.nature.advance(self.chance.choice((0.01, 0.05, 0.2, 1, 3)))
        if self.strikes("clock is wrong"):
            service = self.chance.choice([*self.installation.apps])
            self.nature.wrong_by = {service: self.chance.choice(WRONG_BY_S)}
            self.say(f"  the clock of {service} is wrong by {self.nature.wrong_by[service]} s")
        if self.strikes("clock jumps"):
            jump = self.chance.choice((60, 600, 2400, 7200, DAY_S, 3 * DAY_S))
            if jump >= LONG_JUMP_S and self.bus.has_lost:
                self.people.republish()
            self.nature.advance(jump)
        if self.bus.refusing and self.nature.now > self.bus.refuses_until:
            self._end_refusal()
        properties.check_step(self)

    def _choose(self, options: list[tuple[float, Callable[[], object]]]) -> None:
        if self._acts:
            options.append((1.5, self._act))
        if self.bus.has_lost:
            options.append((REPAIR_WEIGHT, self.people.republish))
        if options:
            self.chance.choices(options, [weight for weight, _ in options])[0][1]()

    def _options(self) -> list[tuple[float, Callable[[], object]]]:
        """Return what can happen now, with the weights of the choice."""
        options: list[tuple[float, Callable[[], object]]] = []
        for service, queue in self.bus.queues.items():
            if queue and not self.workers[service].is_paused:
                options.append((4, partial(self._deliver, service)))
        if self.tasks.waiting:
            options.append((4, self._post_webhook))
        next_timer = self.account.timers.next_at
        if next_timer is not None and next_timer <= self.nature.now:
            options.append((4, self._run_timer))
        for service, worker in self.workers.items():
            for loop in _stepped(worker.loops):
                if woken := isinstance(loop.signal, Wakeup) and loop.signal.wait(0):
                    self._due[service, loop.name] = min(self.nature.now, self._due[service, loop.name])
                if self._due[service, loop.name] <= self.nature.now:
                    options.append((3 if woken else 0.3, partial(self._run_loop, service, loop)))
        return options

    def _end_refusal(self) -> None:
        """End the time in which one queue takes nothing. What only other queues take must have been published."""
        refusing, others_rest = self.bus.refusing, self.adversary.rests
        self.adversary.rests = True
        for service in properties.PUBLISHING:
            relay = next(loop for loop in self.workers[service].loops if loop.name == "relay")
            for _ in range(RELAY_RUNS):
                first = properties.newest_for_others(self, service, refusing or "")
                if self._run_loop(service, relay):
                    break  # nothing was refused, so nothing is held up
                self.nature.advance(outbox.CLAIM_LEASE.total_seconds() + 1)
            else:
                self.violations += properties.check_starved(self, service, first)
        self.adversary.rests = others_rest
        self.bus.refusing = None
        self.say(f"the queue of {refusing} takes messages again")

    def _tempt_stripe(self) -> None:
        """Let Stripe report the next change twice, or forget the next events of a session, refund or dispute."""
        if self.strikes("stripe makes a second event"):
            self.account.faults.add(kind="second_event")
        if self.strikes("stripe forgets an event"):
            about = self.chance.choice((SESSIONS, "*refund*", "charge.dispute.*"))
            self.account.faults.add(kind="not_created", type=about, count=self.chance.choice((1, 4, 30, ALL_EVENTS)))

    def _act(self) -> None:
        self._tempt_stripe()
        act = self._acts.pop(0)
        self.visits[f"act {act.name}"] += 1
        self.people.do(act)
        if self.chance.random() < 0.3:
            self.nature.advance(self.chance.choice((10, 60, 300, 1800)))

    def _deliver(self, service: str) -> None:
        queue = self.bus.queues[service]
        if self.strikes("message delayed"):
            queue.append(queue.pop(0))
        count = 1 if service in self._careful else min(len(queue), self.chance.randint(1, MAX_BATCH))
        positions = list(range(count))
        if self.strikes("messages reordered"):
            positions = self.chance.sample(range(len(queue)), count)
        if self.strikes("message duplicated"):
            self.bus.route_copy(queue[positions[0]])
        if self.strikes("message moved"):
            self.bus.route_copy(queue.pop(0), self.chance.choice((US, SHOVEL)))
            positions = [0]
        if self.strikes("broker loses a message"):
            lost = queue.pop(positions.pop())
            self.bus.has_lost = True
            self.say(f"  the message of {service} is lost: {lost.event.routing_key} {lost.event.id}")
            return
        batch = self.bus.take(service, positions)
        for message in batch:
            self.visits[f"event {service} {message.event.routing_key}"] += 1
        self.say(f"{service} receives {', '.join(f'{m.event.routing_key} {m.event.id}' for m in batch)}")
        connection: Any = NoConnection(self.installation.seat)
        before: Any = self.workers[service]
        worker: Any = self.installation.build_worker(service) if self._are_others else before
        with self._at_work([f"event {service} {message.event.routing_key}" for message in batch]):
            self._guard(f"{service} consumer", f"{service} worker", lambda: worker.consumer.process(batch, connection))
        died = self.workers[service] is not before
        if not died and batch[0].deliveries == 1:
            self._careful.discard(service)

    @contextmanager
    def _at_work(self, names: list[str]) -> Iterator[None]:
        before, self.doing = self.doing, names
        try:
            yield
        finally:
            self.doing = before

    def _post_webhook(self) -> None:
        task = self.tasks.waiting.pop(self.chance.randrange(len(self.tasks.waiting)))
        if self.strikes("webhook sent twice"):
            self.tasks.waiting.append(task)
        self.say("Stripe posts an event")
        self.posted += 1
        with self._at_work([]):
            task()

    def _run_timer(self) -> None:
        self._tempt_stripe()
        self.say("something happens at Stripe in time")
        try:
            self.account.timers.run_next()
        except StripeError as error:  # such as the second dispute of a payment
            self.say(f"  Stripe refuses: {error}")

    def _let_rest(self, service: str) -> None:
        """Let a consumer see that its queue is empty: it has then handled everything that came before."""
        worker: Any = self.workers[service]
        if not self.bus.queues[service] and not worker.is_paused:
            worker.consumer._receive(Silence())

    def _run_loop(self, service: str, loop: Loop) -> bool:
        """Run a loop once. Return True if it could do its work."""
        self.visits[f"loop {service} {loop.name}"] += 1
        key = (service, loop.name)
        before = len(self.trace)
        if self._are_others:  # a second worker process
            loop = next(one for one in self.installation.build_worker(service).loops if one.name == loop.name)
        else:
            self.others_acted, self.loop_began = False, self.nature.now
            self._let_rest(service)

        def run() -> None:
            self._due[key] = self.nature.now + loop.failure_pause_s
            self._due[key] = self.nature.now + max(0.2, loop.run())

        with self._at_work([f"loop {service} {loop.name}"]):
            done = self._guard(f"loop {loop.name}", f"{service} worker", run)
        if len(self.trace) > before:
            self.say(f"  in the loop {loop.name} of {service}")
        return done

    def _guard(self, what: str, process: str, do: Callable[[], object]) -> bool:
        """Run a step. Only what an adversary can cause may fail. Return True if nothing did."""
        try:
            return self.run_as(process, do)
        except PublishUnconfirmedError:
            self.say(f"  {what} of {process} could not publish")
        except Exception as error:  # noqa: BLE001 - what a loop would log
            if not is_away(error):
                self.violate(f"{what} of {process} failed: {type(error).__name__}: {error}")
            elif what.endswith("consumer"):
                self.violate(f"{what} lost its hold on messages: {error}")
            else:
                self.say(f"  {what} of {process}: the database is away")
        return False

    def _come_to_rest(self) -> None:
        self.adversary.rests = True
        self._end_stripe_faults()
        self.nature.wrong_by = {}
        self.bus.refusing = None
        self.say("the adversary rests")
        self.violations += properties.check_unhandled(self)
        if self.bus.has_lost:
            self.people.republish()
        self.violations += properties.check_arrivals(self)
        self.people.end_exceptions()
        passed, reconciled_at, jumps = 0.0, 0.0, [*FIRST_JUMPS_S]
        jump: float = 0
        while True:
            self.nature.advance(jump)
            passed += jump
            is_last = passed >= REST_S
            for key, due in self._due.items():
                if key[1] in SELDOM:
                    self._due[key] = self.nature.now if is_last else math.inf
                else:
                    self._due[key] = min(due, self.nature.now)
            if passed - reconciled_at > RECONCILED_AFTER_S:
                reconciled_at = passed
                self.people.reconcile()
            lines = len(self.trace)
            self._drain()
            if self.violations or is_last:
                return
            is_quiet = reconciled_at > 0 and len(self.trace) == lines and self.account.timers.next_at is None
            jump = jumps.pop(0) if jumps else 4 * DAY_S if is_quiet else DAY_S

    def _end_stripe_faults(self) -> None:
        """Let Stripe make all events again, except those of sessions that it never makes: jobs find these changes."""
        lasting = [
            fault for fault in self.account.faults.queued() if fault.type == SESSIONS and fault.count > ALL_EVENTS / 2
        ]
        self.account.faults.clear()
        if lasting:
            self.account.faults.add(kind="not_created", type=SESSIONS, count=ALL_EVENTS)

    def _drain(self) -> None:
        for _ in range(MAX_STEPS):
            options = self._options()
            if not options:
                return
            self.chance.choice(options)[1]()
            if self.violations:
                return
            self.nature.advance(0.01)
        self.violate("the world does not come to rest")

    # HTTP, as browsers and operators use it

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        operator: str | None = None,
        key: str | None = None,
        form: str | None = None,
    ) -> TestResponse | None:
        """Send a request, and repeat it while there is no clear answer. Return None if there was none at all."""
        headers = {"Authorization": f"Bearer {OPERATORS[operator]}"} if operator else {}
        if key:
            headers["Idempotency-Key"] = key
        answer: TestResponse | None = None
        for _ in range(CUSTOMER_ATTEMPTS):
            sent = {"data": form, "content_type": FORM} if form else {"json": body}
            answer = self._call_once(service, method, path, sent, headers)
            if answer is not None and answer.status_code < 500:
                break
            self.nature.advance(1)
        return answer

    def _call_once(self, service: str, method: str, path: str, sent: Any, headers: Any) -> TestResponse | None:
        process, answers = f"{service} web", []
        away = self.adversary.count(*AWAY)

        def send() -> None:
            answers.append(self.clients[service].open(path, method=method, headers=headers, **sent))
            self.point("crash before answer")

        with self._at_work([]):
            alive = self.run_as(process, send)
        answer = answers[0] if alive else None
        status = answer.status_code if answer else "no answer"
        self.say(f"  {method} {service}{path}: {status}")
        if answer is not None and answer.status_code == 500 and self.adversary.count(*AWAY) == away:
            self.violate(f"{method} {service}{path} answered 500: {answer.get_data(as_text=True)}")
        return answer

    # mail

    def receive_mail(self, mail: EmailMessage) -> None:
        """Receive an e-mail as the mail server does, and check that it is true at this moment."""
        self.mails.append(mail)
        self.say(f"  mail to {mail['To']}: {mail['Subject']}")
        for text in properties.check_mail(self, mail):
            self.violate(text)


def play(installation: Installation, plan: Plan) -> World:
    """Play a plan in a new world."""
    return World(installation, plan).play()


def play_seeds(seeds: Sequence[int]) -> Iterator[World]:
    """Play the plans of these seeds, one after the other."""
    installation = Installation()
    for seed in seeds:
        yield play(installation, Plan.of(seed))


def _stepped(loops: Iterable[Loop]) -> Iterator[Loop]:
    """Return the loops that end a step by themselves."""
    return (loop for loop in loops if loop.name != BLOCKING)
