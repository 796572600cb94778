"""Schemathesis over every service's OpenAPI document: requests that fit the document, and requests that do not.

FUZZ_EXAMPLES sets the number of requests for each operation and mode. `make fuzz` sends more than the suite.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from demo.system import SERVICES
from tests.e2e.processes import Installation
from tests.fuzz.run import DOCUMENTED

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))

pytestmark = pytest.mark.timeout(4 * 3600)  # the long run


@pytest.mark.parametrize("service", SERVICES)
def test_request_that_fits_the_document_is_answered(installed: Installation, service: str) -> None:
    for operation in _operations(installed, service):
        _check(installed, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("service", SERVICES)
def test_request_that_breaks_the_document_is_answered(installed: Installation, service: str) -> None:
    checked = 0
    for operation in _operations(installed, service):
        try:
            _check(installed, operation, GenerationMode.NEGATIVE)
        except Unsatisfiable:
            continue  # any text is a path: no request breaks the document of this operation
        checked += 1
    assert checked or service == "webhooks"  # its only body is not described


def _operations(installed: Installation, service: str) -> list[Any]:
    document: Any = schemathesis.openapi.from_url(f"{installed.system.urls[service]}/openapi.json")
    return [found.ok() for found in document.get_all_operations()]


def _check(installed: Installation, operation: Any, mode: GenerationMode) -> None:
    """Send seeded requests of an operation. Raises `AssertionError` with a command that repeats the one that failed."""
    tokens = installed.system.operator_token, installed.processes.setting("inventory", "SERVICE_TOKEN")

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def check(case: Any) -> None:
        for token in tokens:
            answer = case.call(headers={"Authorization": f"Bearer {token}"}, timeout=60)
            if answer.status_code != 401:
                break
        documented = answer.status_code == 503 and answer.json()["type"].rpartition(":")[2] in DOCUMENTED
        assert answer.status_code < 500 or documented, f"{case.as_curl_command()}\n{answer.text}"

    check()
