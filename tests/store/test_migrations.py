"""Tables brought up to date, whatever else lives in the database and whoever does it at the same moment."""

from __future__ import annotations

import asyncio
import secrets
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from structlog.testing import capture_logs

from amibridge.store import migrations
from amibridge.store.db import DatabaseUnusable, connect, open_pool
from amibridge.store.migrations import migrate, schema_version
from tests.databases import command, new_database
from tests.delivery.waiting import until
from tests.house.source import ROOT
from tests.store.catalog import catalog

PASSWORD = "hush-password"

THEIRS = """
    CREATE TABLE public.calls (id int PRIMARY KEY, note text);
    INSERT INTO public.calls VALUES (1, 'theirs');
    CREATE TABLE public.enterprises (name text);
    CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO public.alembic_version VALUES ('theirs');
    CREATE TYPE public.delivery_kind AS ENUM ('letter');
"""


@pytest.fixture
async def empty(server: str) -> AsyncIterator[str]:
    """A database without anything of ours."""
    async with new_database(server) as dsn:
        yield dsn


@asynccontextmanager
async def plain_role(server: str, dsn: str) -> AsyncIterator[tuple[str, str]]:
    """A role that may do nothing yet, and the DSN of the database for it."""
    role = f"plain_{secrets.token_hex(4)}"
    await command(server, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    try:
        yield role, urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{place}"))
    finally:
        await command(dsn, f"DROP OWNED BY {role}")
        await command(server, f"DROP ROLE {role}")


async def tables_of(dsn: str) -> list[str]:
    connection = await connect(dsn)
    try:
        return await catalog(connection)
    finally:
        await connection.close()


def newest() -> str:
    """Alembic's own opinion."""
    head = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()
    assert head is not None
    return head


def test_the_newest_file_is_the_head_of_the_migrations() -> None:
    assert migrations._revisions(ROOT)[-1] == newest()


def test_each_file_is_named_by_its_revision_and_by_when_it_runs() -> None:
    script = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
    for revision in script.walk_revisions():
        name = Path(revision.path).name
        assert name.startswith((f"{revision.revision}_pre_", f"{revision.revision}_post_"))
        assert len(revision.revision) == 4


async def test_what_is_up_to_date_starts_no_process(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    await migrate(dsn)


async def test_two_at_the_same_moment_both_find_it_done_and_a_third_finds_nothing_to_do(empty: str, dsn: str) -> None:
    with capture_logs() as logs:
        await asyncio.gather(migrate(empty), migrate(empty))
    assert [(line["event"], line["before"], line["now"]) for line in logs] == [("schema_upgraded", None, newest())]
    assert await tables_of(empty) == await tables_of(dsn)
    async with open_pool(empty) as pool:
        assert await schema_version(pool) == newest()
        assert await pool.fetchval("SELECT count(*) FROM alembic_version") == 1
    with capture_logs() as logs:
        await migrate(empty)
    assert logs == []


async def test_as_long_as_it_takes_it_is_said_that_it_goes_on(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "SAID_EVERY", timedelta(milliseconds=10))
    said: list[bool] = []
    other = await connect(empty)
    await other.execute("SELECT pg_advisory_lock(hashtextextended('amibridge migrations', 0))")
    work = asyncio.create_task(migrate(empty, lambda: said.append(True)), name="a migration that takes long")
    await until(lambda: len(said) > 5)
    assert not work.done()
    await other.close()
    await work
    many = len(said)
    await asyncio.sleep(0.1)
    assert len(said) == many


async def test_a_shared_database_where_an_administrator_made_the_schema_is_enough(
    server: str, empty: str, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other software's tables are called like ours, and a folder where we stand is called alembic."""
    await command(empty, THEIRS)
    (tmp_path / "alembic").mkdir()
    (tmp_path / "alembic" / "__init__.py").touch()
    (tmp_path / "alembic" / "__main__.py").write_text("raise SystemExit('the wrong alembic')")
    monkeypatch.chdir(tmp_path)
    async with plain_role(server, empty) as (role, as_plain):
        await command(empty, f"CREATE SCHEMA amibridge AUTHORIZATION {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await command(as_plain, "CREATE SCHEMA other")
        await migrate(as_plain)
        assert await tables_of(empty) == await tables_of(dsn)
    async with open_pool(empty) as pool:
        assert [tuple(row) for row in await pool.fetch("SELECT * FROM public.calls")] == [(1, "theirs")]
        assert await pool.fetchval("SELECT version_num FROM public.alembic_version") == "theirs"
        tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        assert [row["tablename"] for row in tables] == ["alembic_version", "calls", "enterprises"]


async def test_a_schema_of_a_newer_amibridge_is_not_touched(dsn: str) -> None:
    await command(dsn, "UPDATE amibridge.alembic_version SET version_num = '9999'")
    before = await tables_of(dsn)
    with pytest.raises(DatabaseUnusable, match=rf"schema 9999 is newer .* knows {newest()}: upgrade"):
        await migrate(dsn)
    assert await tables_of(dsn) == before


async def test_without_the_right_to_make_a_schema_the_reason_is_postgresqls(server: str, empty: str) -> None:
    async with plain_role(server, empty) as (_, as_plain):
        with pytest.raises(DatabaseUnusable, match="permission denied for database") as refused:
            await migrate(as_plain)
    assert PASSWORD not in str(refused.value)


async def test_a_table_in_the_way_undoes_the_whole_migration(empty: str) -> None:
    await command(empty, "CREATE SCHEMA amibridge; CREATE TABLE amibridge.hosts (theirs int)")
    before = await tables_of(empty)
    with pytest.raises(DatabaseUnusable, match='relation "hosts" already exists'):
        await migrate(empty)
    assert await tables_of(empty) == before


async def test_tables_we_may_not_read_are_a_reason_too(server: str, dsn: str) -> None:
    async with plain_role(server, dsn) as (role, as_plain):
        await command(dsn, f"GRANT USAGE ON SCHEMA amibridge TO {role}")
        with pytest.raises(DatabaseUnusable, match="permission denied for table alembic_version"):
            await migrate(as_plain)


async def test_a_server_that_is_gone_is_a_reason_too(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r"the database \w+ at \S+ cannot be used"):
        await migrate(f"postgresql://amibridge:{PASSWORD}@/amibridge?host={tmp_path}")


async def test_the_dsn_is_on_no_command_line(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in for Python writes down how it was called, and fails."""
    witness = tmp_path / "python"
    witness.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nenv > {tmp_path}/environment\necho broken\nexit 3\n'
    )
    witness.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(witness))
    with pytest.raises(DatabaseUnusable, match=r"could not be brought up to date: broken$"):
        await migrate(empty)
    assert "upgrade head" in (tmp_path / "arguments").read_text()
    assert urlsplit(empty).path not in (tmp_path / "arguments").read_text()
    assert f"AMIBRIDGE_DATABASE__DSN={empty}" in (tmp_path / "environment").read_text().splitlines()


def test_migrations_that_were_not_installed_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseUnusable, match="install amibridge anew"):
        migrations._revisions(tmp_path)
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "a" / "b" / "migrations.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DatabaseUnusable, match="install amibridge anew"):
        migrations._folder()
