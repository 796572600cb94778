"""Seeded requests over all routes of all services: none ends in a defect, and no process ends.

FUZZ_REQUESTS sets their number, and FUZZ_SEED repeats a run. `make fuzz` sends 100,000 and checks the time of each.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from notifications.unsubscribing import UnsubscribeLinks

from demo.system import SERVICES
from tests.e2e.processes import Installation
from tests.fuzz import report
from tests.fuzz.requests import Operation, RequestMaker, operations
from tests.fuzz.run import Result, run
from tests.fuzz.values import Values

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1500"))
SEED = os.environ.get("FUZZ_SEED", "20261126")
LISTS = {
    "checkout": ["/products", "/shipping-options", "/checkouts", "/checkouts?status=complete", "/catalog/discounts"],
    "orders": ["/orders", "/disputes?open=false", "/ops/inbox"],
    "inventory": ["/stock", "/reservations"],
    "notifications": ["/notifications", "/ops/inbox"],
}

pytestmark = pytest.mark.timeout(4 * 3600)  # the long run


def test_no_request_ends_in_a_defect(installed: Installation) -> None:
    every = [each for service in SERVICES for each in _operations(installed, service)]
    before = _process_ids(installed)

    def make_maker(number: int) -> RequestMaker:
        maker = _maker(installed, every, f"{SEED}/{number}")
        for service, paths in LISTS.items():
            for path in paths:
                maker.learn(installed.system.get(service, path, operator=True).json())
        return maker

    result = run(installed.system.urls, make_maker, REQUESTS)
    _assert_no_defect(installed, result)
    assert _process_ids(installed) == before
    if 10 * len(every) <= REQUESTS:
        assert {each.name for each in every} == {operation for operation, _ in result.answers}
    if path := os.environ.get("FUZZ_REPORT"):
        Path(path).write_text(report.text(result, SEED))
        assert not result.slow, "\n".join(map(str, result.slow[:20]))


def _operations(installed: Installation, service: str) -> Iterator[Operation]:
    return operations(service, installed.system.get(service, "/openapi.json").json())


def _maker(installed: Installation, every: list[Operation], seed: str) -> RequestMaker:
    processes = installed.processes
    tokens = {
        "operator": installed.system.operator_token,
        "service": processes.setting("inventory", "SERVICE_TOKEN"),
    }
    maker = RequestMaker(Values(seed), every, tokens, processes.setting("webhooks", "STRIPE_WEBHOOK_SECRETS"))
    links = UnsubscribeLinks("http://shop.example", processes.setting("notifications", "UNSUBSCRIBE_SECRET"))
    maker.values.known["token"] = [links.url("zoe@example.com").rpartition("/")[2]]
    return maker


def _assert_no_defect(installed: Installation, result: Result) -> None:
    shown = [f"{answer}\n  log: {_log_line(installed, answer.request.operation.service, answer.detail)}"
             for answer in result.failures[:20]]  # fmt: skip
    assert not result.failures, f"{len(result.failures)} failures:\n" + "\n".join(shown)


def _log_line(installed: Installation, service: str, detail: bytes) -> str:
    """Return the line of a service's log about a defect, by the request id in the problem."""
    try:
        request_id = httpx.Response(200, content=detail).json()["request_id"]
    except (ValueError, KeyError, TypeError):
        return "no request id"
    lines = installed.processes.log(service, "web").splitlines()
    return next((line for line in lines if request_id in line and "exception" in line), "no line")[-3000:]


def _process_ids(installed: Installation) -> Mapping[str, list[str]]:
    """Return the ids of every process and of its children, which a lost process changes."""
    return {
        name: [str(process.pid), *_children(process.pid)] for name, process in installed.processes.running.items()
        if process.poll() is None
    }  # fmt: skip


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
