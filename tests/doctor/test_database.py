"""The database as the doctor finds it, on a real PostgreSQL: well, and with each fault that it names."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from amibridge.config import DatabaseSettings
from amibridge.doctor import database
from amibridge.doctor.findings import Level
from amibridge.redact import Secret
from amibridge.store.db import DatabaseMissing, open_pool
from amibridge.store.embedded import DatabaseServer
from amibridge.store.migrations import newest_version
from amibridge.store.opening import DatabaseNotMade, open_as_it_is
from amibridge.store.survey import Survey
from tests.databases import command, new_database
from tests.doctor.looking import all_of, by_about, unwell

pytestmark = pytest.mark.postgres


async def test_all_is_well(pool: asyncpg.Pool, dsn: str) -> None:
    survey = Survey(pool)
    found = [
        *await all_of(database.server(pool, DatabaseServer(dsn), "calls at db")),
        *await all_of(database.tables(pool)),
        *await all_of(database.rights(pool)),
        *await all_of(database.largest(pool)),
        *await all_of(database.rejected(survey)),
    ]
    assert unwell(found) == []
    assert set(by_about(found)) == {
        "database",
        "database clock",
        "tables",
        "database rights",
        "table sizes",
        "rejected facts",
    }
    assert found[0].found.startswith("calls at db, PostgreSQL ")


async def test_the_largest_tables_are_named_with_their_sizes(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO rejected_facts SELECT '0123', 'pbx1', n::text, '', repeat('x', 1000), ''"
        " FROM generate_series(1, 3000) AS n"
    )
    await pool.execute("ANALYZE rejected_facts")
    [told] = await all_of(database.largest(pool))
    assert "(0 rows)" not in told.found, "those that nobody has counted yet"
    assert re.match(r"the largest: rejected_facts \d(\.\d)? MB \(3,000 rows\), \w+ \d+", told.found)


async def test_one_that_takes_no_writes(dsn: str) -> None:
    name = urlsplit(dsn).path.removeprefix("/")
    await command(dsn, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with open_pool(dsn) as pool:
        found = await all_of(database.server(pool, DatabaseServer(dsn), "it"))
    assert [one[:2] for one in unwell(found)] == [(Level.FAIL, "database")]


class TestTables:
    async def test_none_of_ours(self, server: str) -> None:
        async with new_database(server) as dsn, open_pool(dsn) as pool:
            [(level, _, found)] = unwell(await all_of(database.tables(pool)))
            assert (level, found) == (Level.FAIL, "there are none of ours yet")

    @pytest.mark.parametrize(
        ("version", "words"), [("0001", f"and ours is {newest_version()}"), ("9999", "is newer than ours")]
    )
    async def test_of_another_version(self, pool: asyncpg.Pool, version: str, words: str) -> None:
        await pool.execute("UPDATE alembic_version SET version_num = $1", version)
        [(level, _, found)] = unwell(await all_of(database.tables(pool)))
        assert (level, words in found) == (Level.FAIL, True)
        assert await pool.fetchval("SELECT version_num FROM alembic_version") == version


class TestRights:
    async def test_a_role_that_owns_nothing(self, dsn: str) -> None:
        async with (
            a_role(dsn, "SELECT") as theirs,
            open_pool(theirs) as pool,
        ):
            found = unwell(await all_of(database.rights(pool)))
        assert [one[:2] for one in found] == [(Level.FAIL, "database rights"), (Level.WARN, "database rights")]
        assert "DELETE, INSERT, UPDATE on alembic_version" in found[0][2]
        assert "the next upgrade cannot alter" in found[1][2]

    async def test_a_role_that_may_do_all_but_alter(self, dsn: str) -> None:
        async with (
            a_role(dsn, "ALL") as theirs,
            open_pool(theirs) as pool,
        ):
            found = unwell(await all_of(database.rights(pool)))
        assert [one[:2] for one in found] == [(Level.WARN, "database rights")]


async def test_facts_that_were_refused(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO rejected_facts (enterprise_id, host, key, kind, body, error, rejected_at) VALUES "
        "('0123', 'pbx1', 'a', 'x', '', 'old', now() - interval '1 day'), ('0123', 'pbx1', 'b', 'x', '', 'new', now())"
    )
    [(level, _, found)] = unwell(await all_of(database.rejected(Survey(pool))))
    assert (level, found) == (Level.WARN, "2 of 0123, which PostgreSQL would not take, the newest for: new")


class TestOpening:
    """To look is to change nothing."""

    async def test_a_private_one_that_was_never_made_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseNotMade):
            async with open_as_it_is(DatabaseSettings(), tmp_path, patience=database_patience()):
                pass
        assert os.listdir(tmp_path) == []

    async def test_no_tables_are_made_in_one_that_is_named(self, server: str, tmp_path: Path) -> None:
        async with new_database(server) as dsn:
            async with open_as_it_is(DatabaseSettings(Secret(dsn)), tmp_path, patience=database_patience()) as opened:
                assert opened.dsn == dsn
            connection = await asyncpg.connect(dsn)
            try:
                schemas = await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'amibridge'")
            finally:
                await connection.close()
            assert schemas == 0

    async def test_one_that_is_away_is_said_to_be(self, tmp_path: Path, unused_tcp_port: int) -> None:
        settings = DatabaseSettings(Secret(f"postgresql://us:hush@127.0.0.1:{unused_tcp_port}/calls"))
        with pytest.raises(DatabaseMissing) as caught:
            async with open_as_it_is(settings, tmp_path, patience=database_patience()):
                pass
        assert "hush" not in str(caught.value)


def database_patience() -> timedelta:

    return timedelta(seconds=0.1)


@asynccontextmanager
async def a_role(dsn: str, granted: str) -> AsyncIterator[str]:
    """The DSN of somebody who may sign in, and do to our tables what is *granted*."""
    role, password = f"amibridge_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    await command(dsn, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    try:
        await command(dsn, f"GRANT USAGE ON SCHEMA amibridge TO {role}")
        await command(dsn, f"GRANT {granted} ON ALL TABLES IN SCHEMA amibridge TO {role}")
        parts = urlsplit(dsn)
        yield parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        await command(dsn, f"DROP OWNED BY {role}")
        await command(dsn, f"DROP ROLE {role}")
