"""What is queued is written once, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.notices import notices_of
from amibridge.enterprises import EnterpriseId
from amibridge.store import recorder as module
from amibridge.store.db import open_pool
from amibridge.store.embedded import open_embedded
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery, Outbox
from amibridge.store.recorder import StoreHopeless
from tests.databases import command
from tests.delivery.rows import ended
from tests.delivery.rows import record as verdict
from tests.delivery.waiting import until
from tests.store.catalog import make_as_read
from tests.store.proxy import proxy
from tests.store.recorder_at_work import Recorder, keys, recording, rings, written

pytestmark = pytest.mark.postgres

ONE = EnterpriseId("0123")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    monkeypatch.setattr(module, "PAUSE_CAP", 0.02)


async def test_a_database_that_goes_away_is_waited_for(dsn: str, pool: asyncpg.Pool) -> None:
    with capture_logs() as logs:
        async with proxy(dsn) as way, open_pool(way.dsn) as through, recording(Ledger(through)) as one:
            one.put(*rings(5))
            await one.emptied()
            way.close()
            one.put(*rings(5, 5))
            visits = way.visits
            await until(lambda: way.visits > visits + 3)
            one.put(*rings(5, 10))
            assert len(one.queue) == 10
            way.open = True
            await one.emptied()
    assert await written(pool) == keys(rings(15))
    assert one.handed == await Outbox(pool).load_due(ONE)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("database_lost", "error"),
        ("database_back", "info"),
    ]


@pytest.mark.parametrize("answer", ["lost", "given"])
async def test_a_commit_whose_answer_is_lost_is_not_made_twice(dsn: str, pool: asyncpg.Pool, answer: str) -> None:
    facts = [*rings(3), ended(verdict("pbx:0"))]
    async with proxy(dsn) as way, open_pool(way.dsn) as through, recording(Ledger(through)) as one:
        one.put(*facts)
        await one.emptied()
        later = [*rings(3, 3), ended(verdict("pbx:3"))]
        if answer == "lost":
            way.on_answer = lambda piece: b"SELECT " in piece
        one.put(*later)
        if answer == "lost":
            await until(lambda: not way.open)
            # Committed, and nobody knows.
            assert await written(pool) == keys([*facts, *later])
            assert len(one.queue) == len(later)
            way.on_answer, way.open = (lambda piece: False), True
        await one.emptied()
    due = await Outbox(pool).load_due(ONE)
    assert one.handed == due
    assert Counter((row.fact.key, row.kind) for row in due) == Counter(
        (fact.key, notice.kind) for fact in [*facts, *later] for notice in notices_of(fact)
    )
    assert await pool.fetchval("SELECT count(*) FROM calls") == 2


async def test_a_server_that_is_killed_and_started_again_has_everything(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, throwaway=True) as server:
        await make_as_read(server.dsn)
    async with open_embedded(tmp_path) as server, open_pool(server.dsn) as pool, recording(Ledger(pool)) as one:
        one.put(*rings(100))
        await until(lambda: len(one.queue) < 100)
        assert server.process is not None
        server.process.send_signal(signal.SIGKILL)
        await server.process.wait()
        one.put(*rings(100, 100))
        async with open_embedded(tmp_path) as again:
            assert again.dsn == server.dsn
            await one.emptied()
            assert await written(pool) == keys(rings(200))
            assert one.handed == await Outbox(pool).load_due(ONE)


class Witness(Ledger):
    """A ledger that remembers what went wrong."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self.errors: set[type[Exception]] = set()

    async def record(self, heard: Sequence[HeardFact]) -> list[Delivery]:
        try:
            return await super().record(heard)
        except Exception as error:
            self.errors.add(type(error))
            raise


@pytest.mark.parametrize(
    ("breaking", "mending", "error"),
    [
        (
            "ALTER TABLE amibridge.facts RENAME TO elsewhere",
            "ALTER TABLE amibridge.elsewhere RENAME TO facts",
            asyncpg.UndefinedTableError,
        ),
        (
            "ALTER TYPE amibridge.delivery_kind RENAME TO kind",
            "ALTER TYPE amibridge.kind RENAME TO delivery_kind",
            asyncpg.UndefinedObjectError,
        ),
        (
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            "ALTER DATABASE {name} ALLOW_CONNECTIONS true",
            asyncpg.ObjectNotInPrerequisiteStateError,
        ),
        (
            "ALTER DATABASE {name} RENAME TO {name}_elsewhere",
            "ALTER DATABASE {name}_elsewhere RENAME TO {name}",
            asyncpg.InvalidCatalogNameError,
        ),
        (
            "ALTER DATABASE {name} SET default_transaction_read_only = on",
            "ALTER DATABASE {name} RESET default_transaction_read_only",
            asyncpg.ReadOnlySQLTransactionError,
        ),
    ],
    ids=["no table", "no type", "no connections", "no database", "read-only"],
)
async def test_what_an_administrator_does_to_the_database_is_no_fault_of_a_fact(
    server: str, dsn: str, breaking: str, mending: str, error: type[Exception]
) -> None:
    name = urlsplit(dsn).path.removeprefix("/")
    part = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND application_name = 'amibridge'"
    )

    async def administer(sql: str) -> None:
        await command(server, part)
        await command(server if "ALTER DATABASE" in sql else dsn, sql.format(name=name))
        await command(server, part)

    async with open_pool(dsn) as pool:
        ledger = Witness(pool)
        with capture_logs() as logs:
            async with recording(ledger) as one:
                one.put(*rings(3))
                await one.emptied()
                await administer(breaking)
                one.put(*rings(3, 3))
                await until(lambda: error in ledger.errors)
                assert len(one.queue) == 3
                await administer(mending)
        assert await written(pool) == keys(rings(6))
        assert await pool.fetchval("SELECT count(*) FROM rejected_facts") == 0
        assert one.handed == await Outbox(pool).load_due(ONE)
    assert [line["event"] for line in logs] == ["database_lost", "database_back"]


class Full(Ledger):
    """A ledger whose database fails as it is told, and then works."""

    def __init__(self, pool: asyncpg.Pool, failures: Sequence[Exception]) -> None:
        super().__init__(pool)
        self.failures = list(failures)

    async def record(self, heard: Sequence[HeardFact]) -> list[Delivery]:
        if self.failures:
            raise self.failures.pop(0)
        return await super().record(heard)


FULL = asyncpg.DiskFullError("could not extend file: No space left on device")


async def test_a_full_disk_is_cried_about_and_stops_us_after_our_patience(pool: asyncpg.Pool) -> None:
    clock = asyncio.get_running_loop().time
    one = Recorder(Full(pool, [FULL] * 100_000), timedelta(seconds=0.2))
    one.put(*rings(3))
    begun = clock()
    with capture_logs() as logs, pytest.raises(StoreHopeless, match="the disk of the database is full"):
        await one.work
    assert clock() - begun >= 0.2
    [line] = logs
    assert (line["event"], line["log_level"], line["facts_waiting"]) == ("database_disk_full", "critical", 3)
    assert "No space left" in line["reason"]
    assert len(one.queue) == 3


async def test_a_disk_that_is_cleared_in_time_loses_nothing(pool: asyncpg.Pool) -> None:
    with capture_logs() as logs:
        async with recording(Full(pool, [FULL] * 3)) as one:
            one.put(*rings(3))
    assert await written(pool) == keys(rings(3))
    assert [line["event"] for line in logs] == ["database_disk_full", "database_back"]


async def test_our_patience_with_a_full_disk_begins_when_it_is_full(pool: asyncpg.Pool) -> None:
    """A server that was away for long and comes back to a full disk, as after a crash."""
    away = [ConnectionRefusedError("away")] * 20
    one = Recorder(Full(pool, [*away, FULL, FULL]), timedelta(seconds=0.2))
    one.put(*rings(1))
    one.queue.close()
    with capture_logs() as logs:
        await one.work
    assert [line["event"] for line in logs] == ["database_lost", "database_disk_full", "database_back"]
    assert await written(pool) == keys(rings(1))
