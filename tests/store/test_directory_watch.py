"""A change of the directory is heard at once, looked for anyway, and not missed for a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import EnterpriseId
from amibridge.secrets import Key, Keyring
from amibridge.store import directory as module
from amibridge.store.db import open_pool
from amibridge.store.directory import CHANNEL, Directory
from tests.delivery.waiting import until
from tests.store.enterprises import romashka
from tests.store.proxy import proxy

pytestmark = pytest.mark.postgres

KEYRING = Keyring([Key("key", b"k" * 32)])
NEVER = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", timedelta(seconds=0.02))


@pytest.fixture
def directory(pool: asyncpg.Pool) -> Directory:
    return Directory(pool, KEYRING)


class Watch:
    """Counts what `changed` yields."""

    def __init__(self) -> None:
        self.rung = 0

    async def more_than(self, rung: int) -> None:
        await until(lambda: self.rung > rung)


@asynccontextmanager
async def watching(directory: Directory, look_anyway: timedelta = NEVER) -> AsyncIterator[Watch]:
    """Once the channel is listened to."""
    watch = Watch()

    async def listen() -> None:
        async with aclosing(directory.changed(look_anyway)) as changes:
            async for _ in changes:
                watch.rung += 1

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen(), name="listening")
        await watch.more_than(0)
        yield watch
        listening.cancel()


async def listeners(pool: asyncpg.Pool) -> list[int]:
    """The backends that listen to us."""
    rows = await pool.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = $1", f'LISTEN "{CHANNEL}"'
    )
    return [row["pid"] for row in rows]


async def test_a_change_is_heard_by_who_watches_through_other_connections(directory: Directory, dsn: str) -> None:
    async with open_pool(dsn) as other_pool, watching(directory) as watch:
        other = Directory(other_pool, KEYRING)
        before = watch.rung
        await other.apply(romashka())
        await watch.more_than(before)
        before = watch.rung
        await other.remove(EnterpriseId("0123"))
        await watch.more_than(before)


async def test_what_changes_nothing_rings_no_bell(directory: Directory) -> None:
    await directory.apply(romashka())
    async with watching(directory) as watch:
        before = watch.rung
        assert await directory.apply(romashka()) == []
        assert not await directory.remove(EnterpriseId("9999"))
        await directory.apply(romashka("0456"))
        await watch.more_than(before)
        assert watch.rung == before + 1


async def test_a_change_that_is_undone_is_not_told(directory: Directory, pool: asyncpg.Pool) -> None:
    async with watching(directory) as watch:
        before = watch.rung
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(module.SQL["tell_change"], "0123")
            await transaction.rollback()
        await directory.apply(romashka())
        await watch.more_than(before)
        assert watch.rung == before + 1


async def test_it_is_looked_for_anyway(directory: Directory) -> None:
    async with watching(directory, timedelta(seconds=0.02)) as watch:
        await watch.more_than(5)


async def test_a_lost_connection_is_survived_and_what_was_told_meanwhile_is_looked_for(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    with capture_logs() as logs:
        async with watching(directory) as watch:
            [listener] = await listeners(pool)
            before = watch.rung
            await pool.execute("SELECT pg_terminate_backend($1)", listener)
            await watch.more_than(before)
            await until(lambda: any(line["event"] == "directory_watched_again" for line in logs))
            before = watch.rung
            await directory.apply(romashka())
            await watch.more_than(before)
    assert [line["event"] for line in logs] == ["directory_not_watched", "directory_watched_again"]


async def test_a_database_that_is_away_is_said_once_and_watched_again(dsn: str) -> None:
    with capture_logs() as logs:
        async with proxy(dsn) as way, open_pool(way.dsn) as pool, watching(Directory(pool, KEYRING)) as watch:
            way.close()
            visits = way.visits
            await until(lambda: way.visits > visits + 5)
            before, way.open = watch.rung, True
            await until(lambda: any(line["event"] == "directory_watched_again" for line in logs))
            await watch.more_than(before)
            before = watch.rung
            await Directory(pool, KEYRING).apply(romashka())
            await watch.more_than(before)
    assert [line["event"] for line in logs] == ["directory_not_watched", "directory_watched_again"]


async def test_its_connection_is_given_back(dsn: str) -> None:
    async with open_pool(dsn) as pool:
        for _ in range(3):
            async with watching(Directory(pool, KEYRING)):
                assert len(await listeners(pool)) == 1
        await until(lambda: pool.get_size() == pool.get_idle_size())
        async with asyncio.timeout(20):
            while await listeners(pool):  # a backend sees that its client has gone a moment later
                await asyncio.sleep(0.01)


async def test_a_server_that_went_silent_does_not_hold_up_who_stops_watching(dsn: str) -> None:
    clock = asyncio.get_running_loop().time
    async with proxy(dsn) as way, open_pool(way.dsn) as pool:
        async with watching(Directory(pool, KEYRING)):
            way.silent = True
            begun = clock()
        assert clock() - begun < 1
