import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from events.database.engine import Database
from inventory.__main__ import main
from inventory.config import Config
from inventory.models import StockItem
from inventory.worker import create_worker


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/inventory.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("BROKER_URL", "memory://")
    monkeypatch.setenv("OPERATOR_TOKENS", "ana:operator-token-of-ana")
    monkeypatch.setenv("SERVICE_TOKEN", "service-token-of-tests")
    assert CliRunner().invoke(main, ["migrate"]).exit_code == 0
    return url


def seed(tmp_path: Path, document: object) -> tuple[int, str]:
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(document))
    result = CliRunner().invoke(main, ["seed", str(file)])
    return result.exit_code, result.output


def test_seed_fills_only_new_skus(url: str, tmp_path: Path) -> None:
    answer = "Opening stock set for new skus: 1. The stock of known skus did not change.\n"
    assert seed(tmp_path, {"products": [{"sku": "TEE", "stock": 5}]}) == (0, answer)
    assert seed(tmp_path, {"products": [{"sku": "TEE", "stock": 9}, {"sku": "HAT", "stock": 1}]})[0] == 0
    database = Database(url)
    with database.read() as session:
        assert {row.sku: row.on_hand for row in session.query(StockItem)} == {"TEE": 5, "HAT": 1}
    database.dispose()


def test_seed_refuses_a_file_that_is_no_catalog(url: str, tmp_path: Path) -> None:
    code, output = seed(tmp_path, {"products": [{"sku": "TEE", "stock": -1}]})
    assert code == 1
    assert "not a catalog" in output


@pytest.mark.parametrize("content", [b"\xff", b'{"products": [{"sku": "\\ud800"}]}'], ids=["latin-1", "surrogate"])
def test_seed_refuses_a_file_without_utf_8(url: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "catalog.json"
    file.write_bytes(content)
    result = CliRunner().invoke(main, ["seed", str(file)])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "is not a catalog, and nothing was changed" in result.output


@pytest.mark.parametrize("threshold", [0, 3])
def test_worker_has_the_jobs_of_its_settings(config: Config, database: Database, threshold: int) -> None:
    worker = create_worker(replace(config, low_stock_threshold=threshold), database=database)
    names = {loop.name for loop in worker._loops._loops}
    assert {"expire-reservations", "relay"} <= names
    assert ("publish-low-stock" in names) == (threshold > 0)
    worker.stop()
