"""The way into PostgreSQL: who waits for it, for how long, and what is said when it does not let us in."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.store import db
from amibridge.store.db import DatabaseMissing, DatabaseUnusable, await_database, load_queries, open_pool, place_of
from amibridge.store.embedded import open_embedded
from tests.databases import at_database, command
from tests.store.proxy import proxy

pytestmark = pytest.mark.postgres

SOON = timedelta(seconds=0.2)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "AGAIN", 0.02)


def as_user(dsn: str, user: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def told(error: BaseException) -> str:
    """All that a log could show of it and of what caused it, but for lines of source."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("    "))


def test_queries_are_found_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "ledger.sql").write_text(
        "-- About this file.\n\n-- one --\n-- The first.\nSELECT 1\n\n"
        "-- two --\n-- The second,\n-- and -- more.\nSELECT 2;\n"
    )
    assert load_queries(str(tmp_path / "ledger.py")) == {
        "one": "-- The first.\nSELECT 1",
        "two": "-- The second,\n-- and -- more.\nSELECT 2;",
    }


async def test_a_server_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    dsn = f"postgresql://amibridge@/postgres?host={tmp_path}/postgresql/run&port=5432"
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(await_database(dsn, timedelta(seconds=30)), name="waiting")
            while not logs:
                await asyncio.sleep(0.01)
            async with open_embedded(tmp_path, throwaway=True):
                await waiting
    assert [line["event"] for line in logs] == ["database_awaited", "database_there"]


async def test_a_server_that_does_not_come_is_missed_after_our_patience(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    with pytest.raises(DatabaseMissing, match=r"no database amibridge at /\S+ after 0\.2 s: No such file") as missed:
        await await_database(f"postgresql://amibridge:hush@/amibridge?host={tmp_path}", SOON)
    assert 0.2 <= clock() - begun < 2
    assert not isinstance(missed.value, DatabaseUnusable)
    assert "hush" not in told(missed.value)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://us:hush@db.example:5433/amibridge", "amibridge at db.example:5433"),
        ("postgresql://us:hush@[::1]:5433/amibridge?sslmode=require", "amibridge at [::1]:5433"),
        ("postgresql://us:hush@/amibridge?host=/run/postgresql&port=5433", "amibridge at /run/postgresql:5433"),
        ("postgresql:///?dbname=amibridge&host=db&user=us&password=hush", "amibridge at db"),
        ("postgresql:///%D0%B1", "б"),
        ("postgresql://", db.NAMED),
        ("postgresql://us:123#hush@db.example/amibridge", db.NAMED),
        ("postgresql://us:123/hush@db.example/amibridge", db.NAMED),
        ("postgresql://us:123?hush@db.example/amibridge", db.NAMED),
        ("postgresql://us:[hush@db.example/amibridge", db.NAMED),
    ],
)
def test_a_database_is_named_without_its_password(dsn: str, place: str) -> None:
    assert place_of(dsn) == place


async def test_a_server_that_says_nothing_is_missed_too(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "CONNECT_TIMEOUT", 0.05)
    async with proxy(server) as way:
        way.silent = True
        with pytest.raises(DatabaseMissing, match="TimeoutError"):
            await await_database(way.dsn, SOON)


async def test_a_server_with_no_room_for_us_is_waited_for(server: str) -> None:
    role = f"crowded_{secrets.token_hex(4)}"
    await command(server, f"CREATE ROLE {role} LOGIN PASSWORD 'hush' CONNECTION LIMIT 0")
    try:
        with capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(
                    await_database(as_user(server, f"{role}:hush"), timedelta(seconds=30)), name="waiting"
                )
                while not logs:
                    await asyncio.sleep(0.01)
                await command(server, f"ALTER ROLE {role} CONNECTION LIMIT 1")
                await waiting
    finally:
        await command(server, f"DROP ROLE {role}")
    assert "too many connections for role" in logs[0]["reason"]


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server that asks the role `plain` for a password; its DSN is that of its owner."""
    folder = tmp_path_factory.mktemp("guarded")
    async with open_embedded(folder, throwaway=True) as first:
        await command(first.dsn, "CREATE ROLE plain LOGIN PASSWORD 'hush-right'")
    rules = folder / "postgresql" / "data" / "pg_hba.conf"
    rules.write_text("local all plain scram-sha-256\n" + rules.read_text())
    async with open_embedded(folder, throwaway=True) as second:
        yield second.dsn
    shutil.rmtree(folder)


async def test_the_right_password_opens(guarded: str) -> None:
    await await_database(as_user(guarded, "plain:hush-right"), SOON)


@pytest.mark.parametrize(
    ("user", "database", "why"),
    [
        ("plain:hush-wrong", "amibridge", 'password authentication failed for user "plain"'),
        ("stranger:hush-wrong", "amibridge", 'role "stranger" does not exist'),
        ("plain:hush-right", "elsewhere", 'database "elsewhere" does not exist'),
    ],
    ids=["password", "role", "database"],
)
async def test_who_is_refused_is_told_why_at_once_and_without_the_password(
    guarded: str, user: str, database: str, why: str
) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    with pytest.raises(DatabaseUnusable, match=why) as refused:
        await await_database(at_database(as_user(guarded, user), database), timedelta(seconds=30))
    assert clock() - begun < 5
    assert "hush" not in told(refused.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://plain:hush#word@127.0.0.1/amibridge",
        "postgresql://plain:hush/word@127.0.0.1/amibridge",
        "postgresql://plain:hush?word@127.0.0.1/amibridge",
        "postgresql://plain:hush[word@127.0.0.1/amibridge",
        "postgresql://plain:hushword@127.0.0.1:port/amibridge",
        "postgresql://plain:hushword@127.0.0.1:99999/amibridge",
        "postgresql://plain@127.0.0.1/amibridge?hushword",
        "postgresql://plain@127.0.0.1/amibridge?password=hushword&sslmode=perhaps",
        "mysql://plain:hushword@127.0.0.1/amibridge",
        "hushword",
    ],
)
async def test_a_dsn_that_cannot_be_read_is_refused_without_any_piece_of_it(dsn: str) -> None:
    with pytest.raises(DatabaseUnusable, match="the DSN of the database cannot be read") as refused:
        await await_database(dsn, SOON)
    assert "hush" not in told(refused.value)
    assert "word" not in told(refused.value).replace("password", "")


async def test_a_server_that_is_too_old_is_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "OLDEST", 99)
    with pytest.raises(DatabaseUnusable, match=r"PostgreSQL \d+ is too old: 99 or newer is needed"):
        await await_database(server, SOON)


async def test_the_oldest_server_is_the_one_the_sql_is_written_for() -> None:
    assert db.OLDEST == 14  # tests/store/test_schema.py holds the SQL to it


async def test_connections_of_the_pool_see_our_schema_first_and_only_and_utc(dsn: str) -> None:
    await command(dsn, "SET search_path = public; CREATE TABLE public.calls (theirs int)")
    async with open_pool(dsn) as pool:
        assert await pool.fetchval("SELECT current_schemas(false)") == ["amibridge"]
        assert await pool.fetchval("SHOW timezone") == "UTC"
        assert await pool.fetchval("SHOW application_name") == "amibridge"
        assert await pool.fetchval("SELECT count(*) FROM calls WHERE call_id = 'x'") == 0


async def test_a_pool_closes_in_time_although_a_query_hangs(dsn: str) -> None:
    clock = asyncio.get_running_loop().time
    async with asyncio.TaskGroup() as tasks:
        async with open_pool(dsn) as pool:
            hanging = tasks.create_task(_hang(pool), name="hanging query")
            while await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == 0:
                await asyncio.sleep(0.01)
            begun = clock()
        assert clock() - begun < db.CLOSED_WITHIN + 1
        await hanging


async def test_a_pool_closes_in_time_although_the_server_went_silent(dsn: str) -> None:
    clock = asyncio.get_running_loop().time
    async with proxy(dsn) as way, asyncio.TaskGroup() as tasks:
        async with open_pool(way.dsn) as pool:
            await pool.execute("SELECT 1")
            way.silent = True
            hanging = tasks.create_task(_hang(pool), name="hanging query")
            await asyncio.sleep(0)
            begun = clock()
        assert clock() - begun < db.CLOSED_WITHIN + 1
        await hanging


async def _hang(pool: asyncpg.Pool) -> None:
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)):
        await pool.execute("SELECT pg_sleep(60)")


async def test_a_query_of_the_pool_asks_the_server_once(dsn: str) -> None:
    """asyncpg's own way is to reset the connection after each, with a query more."""
    asked: list[str] = []
    async with open_pool(dsn) as pool:
        async with pool.acquire() as connection:
            connection.add_query_logger(lambda query: asked.append(query.query))
        assert await pool.fetchval("SELECT 1") == 1
    assert asked == ["SELECT 1"]


async def test_a_transaction_that_was_left_open_is_rolled_back_all_the_same(dsn: str) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    try:
        async with open_pool(dsn) as pool:
            await pool.execute("CREATE TABLE kept (a int)")
            async with pool.acquire() as connection:
                await connection.execute("BEGIN; INSERT INTO kept VALUES (1)")
            assert await pool.fetchval("SELECT count(*) FROM kept") == 0
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert len(complaints) == 1
