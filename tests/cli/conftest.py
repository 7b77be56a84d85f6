from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from amibridge.cli import configured, crm_account
from amibridge.doctor import crm
from amibridge.doctor.live import examination
from amibridge.retailcrm.limits import RATES
from tests.cli.commanding import Amibridge


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, a data folder of the test's own, and the log afterwards as it was."""
    for name in [name for name in os.environ if name.startswith("AMIBRIDGE_") and name != "AMIBRIDGE_TEST_DSN"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(configured, "DEFAULT_FILE", tmp_path / "absent.toml")
    monkeypatch.setenv("AMIBRIDGE_DATA_DIR", str(tmp_path / "data"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(level)
    for name in ("aiohttp.access", "alembic", "asyncio", "panoramisk", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _as_if_no_daemon_ran_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands ask once a second, for whose sake is told in tests/system/test_crowds.py."""
    monkeypatch.setattr(crm_account, "BESIDE", RATES)
    for commands in (crm, examination):
        monkeypatch.setattr(commands, "SETTINGS", replace(commands.SETTINGS, rates=RATES))


@pytest.fixture
def amibridge(capsys: pytest.CaptureFixture[str]) -> Amibridge:
    return Amibridge(capsys)


@pytest.fixture
def at_database(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that the commands are told of."""
    monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", dsn)
    return dsn
