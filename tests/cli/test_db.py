"""`amibridge db upgrade`, and what every command says of a database that cannot be used."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from amibridge.cli import stored
from amibridge.store import db
from amibridge.store.migrations import VERSION
from tests.cli.commanding import Amibridge
from tests.databases import command, new_database
from tests.house.source import ROOT

NEWEST = sorted(path.name.partition("_")[0] for path in (ROOT / "alembic" / "versions").glob("[0-9]*.py"))[-1]


async def version(dsn: str) -> str:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge"})
    try:
        return str(await connection.fetchval(VERSION))
    finally:
        await connection.close()


async def test_an_empty_database_gets_its_tables_and_a_second_time_changes_nothing(
    server: str, amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_database(server) as dsn:
        monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", dsn)
        for _ in range(2):
            done = await amibridge.beside("db", "upgrade")
            assert (done.code, done.answers) == (0, [{"schema": NEWEST}])
            assert done.sentences == [f"the tables are up to date: schema {NEWEST}"]
        assert await version(dsn) == NEWEST


async def test_a_database_of_a_newer_version_is_left_alone(at_database: str, amibridge: Amibridge) -> None:
    await command(at_database, "UPDATE amibridge.alembic_version SET version_num = '9999'")
    done = await amibridge.beside("db", "upgrade")
    assert (done.code, done.out) == (1, "")
    [sentence] = done.sentences
    assert "9999 is newer than this amibridge" in sentence
    assert await version(at_database) == "9999"


@pytest.mark.parametrize(
    "words",
    [
        ["db", "upgrade"],
        ["enterprise", "list"],
        ["enterprise", "show", "0123"],
        ["enterprise", "remove", "0123"],
        ["deliveries", "0123"],
        ["deliveries", "0123", "--resend", "1"],
    ],
)
def test_a_database_that_is_away_is_one_sentence_without_its_password_and_nothing_is_made(
    amibridge: Amibridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.setattr(stored, "PATIENCE", timedelta(milliseconds=50))
    monkeypatch.setattr(db, "AGAIN", 0.01)
    monkeypatch.setenv("AMIBRIDGE_DATABASE__DSN", "postgresql://us:hush-hush@127.0.0.1:1/amibridge")
    done = amibridge(*words)
    assert (done.code, done.out) == (1, "")
    [sentence] = done.sentences
    assert sentence == "amibridge: no database amibridge at 127.0.0.1:1 after 0.05 s: Connection refused"
    assert "hush" not in done.err
    assert list(tmp_path.iterdir()) == []


async def test_tables_that_somebody_dropped_are_one_sentence(at_database: str, amibridge: Amibridge) -> None:
    await command(at_database, "DROP TABLE amibridge.deliveries")
    done = await amibridge.beside("deliveries", "0123")
    assert (done.code, done.out) == (1, "")
    assert done.sentences == ['amibridge: the database failed: relation "deliveries" does not exist']
