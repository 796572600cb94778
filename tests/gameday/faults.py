"""The faults of the game day, each with the alert that has to wake a person."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from events.operations import inbox as inbox_operations

from tests.faults import faults
from tests.faults.rig import Rig

MANY = 100_000  # more calls than the game day has


@dataclass(frozen=True)
class Ports:
    """The health ports of all processes, which they keep when they start again."""

    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def start(self, rig: Rig, service: str, kind: str, **environment: str) -> None:
        """Start a process with its health port."""
        rig.processes.start(service, kind, HEALTH_PORT=str(self.numbers[service, kind]), **environment)

    def restart(self, rig: Rig, service: str, kind: str, **environment: str) -> None:
        """Kill a process and start it again with its health port."""
        rig.kill(service, kind)
        self.start(rig, service, kind, **environment)


Break = Callable[[Rig, Ports], AbstractContextManager[None]]


def of_suite(inject: faults.Break) -> Break:
    """Return a fault of the fault suite."""
    return lambda rig, _ports: inject(rig)


def gone(service: str, kind: str) -> Break:
    """Return a fault that kills the only process of a kind, and starts it again at the end."""

    @contextmanager
    def inject(rig: Rig, ports: Ports) -> Iterator[None]:
        rig.kill(service, kind)
        try:
            yield
        finally:
            ports.start(rig, service, kind)

    return inject


def frozen(service: str, kind: str) -> Break:
    """Return a fault that freezes a process and its children (SIGSTOP)."""

    @contextmanager
    def inject(rig: Rig, ports: Ports) -> Iterator[None]:
        group = rig.processes.running[f"{service} {kind}"].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    return inject


def with_setting(service: str, kind: str, environment: Mapping[str, str]) -> Break:
    """Return a fault that starts a process with a wrong setting."""

    @contextmanager
    def inject(rig: Rig, ports: Ports) -> Iterator[None]:
        ports.restart(rig, service, kind, **environment)
        try:
            yield
        finally:
            ports.restart(rig, service, kind)

    return inject


@contextmanager
def paused_orders(rig: Rig, ports: Ports) -> Iterator[None]:
    def set_paused(paused: bool) -> None:
        with rig.databases["orders"].begin() as session:
            inbox_operations.set_paused(session, paused, actor="game day", reason="a fault")

    set_paused(True)
    try:
        yield
    finally:
        set_paused(False)


@contextmanager
def stripe_away(rig: Rig, ports: Ports) -> Iterator[None]:
    rig.stripe.add_fault("api_500", count=MANY)
    try:
        yield
    finally:
        rig.stripe.clear_faults()


@dataclass(frozen=True)
class GameDayFault:
    """A fault, and the one page that it may cause, with labels that it has to have."""

    name: str
    inject: Break
    alert: str
    labels: dict[str, str] = field(default_factory=dict)

    def matches(self, alert: Mapping[str, str]) -> bool:
        """Return True for the labels of the right alert."""
        return {"alertname": self.alert, **self.labels}.items() <= alert.items()


def down(service: str, kind: str) -> dict[str, str]:
    """Return the labels of ServiceDown for the processes of one kind."""
    return {"service": service, "job": kind}


OTHER_MODE, OTHER_SECRET = {"LIVEMODE": "true"}, {"STRIPE_WEBHOOK_SECRETS": "whsec_wrong"}
FAULTS = (
    GameDayFault("Stripe's API answers 500", stripe_away, "StripeAway", {"service": "checkout"}),
    GameDayFault("PostgreSQL stopped", of_suite(faults.restarted_database), "DatabaseDown"),
    GameDayFault("ingest killed", gone("webhooks", "web"), "ServiceDown", down("webhooks", "web")),
    GameDayFault("RabbitMQ's memory alarm", of_suite(faults.memory_alarm), "BrokerBlocked"),
    GameDayFault("mail server away", of_suite(faults.stopped_mail_server), "MailsNotSent"),
    GameDayFault("orders paused by an operator", paused_orders, "ConsumerPaused", {"service": "orders"}),
    GameDayFault("LIVEMODE of the other mode", with_setting("webhooks", "web", OTHER_MODE), "SignedEventsRejected"),
    GameDayFault("PostgreSQL frozen", of_suite(faults.frozen_database), "DatabaseDown"),
    GameDayFault("inventory's web killed", gone("inventory", "web"), "ServiceDown", down("inventory", "web")),
    GameDayFault("orders' worker killed", gone("orders", "worker"), "ServiceDown", down("orders", "worker")),
    GameDayFault("RabbitMQ frozen", of_suite(faults.frozen_broker), "BrokerDown"),
    GameDayFault("orders' worker frozen", frozen("orders", "worker"), "ServiceDown", down("orders", "worker")),
    GameDayFault("wrong webhook secret", with_setting("webhooks", "web", OTHER_SECRET), "NoWebhooks"),
    GameDayFault("RabbitMQ killed", of_suite(faults.killed_broker), "BrokerDown"),
)
