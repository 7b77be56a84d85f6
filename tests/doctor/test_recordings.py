"""The recordings of a PBX, looked for as the CRM's player would: in a real folder, for the calls of a real ledger."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from amibridge.doctor.findings import Finding, Level
from amibridge.doctor.recordings import recordings
from amibridge.enterprises import HostName
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.survey import Survey
from tests.delivery.rows import ended, record
from tests.doctor.looking import all_of
from tests.store.enterprises import host

pytestmark = pytest.mark.postgres


async def looked(pool: asyncpg.Pool, folder: str | None, named: Sequence[str | None] = ()) -> Finding:
    """What is found where the newest answered calls name these recordings, the oldest first."""
    now = datetime.now(UTC)
    for number, name in enumerate(named):
        at = now - timedelta(hours=2) + timedelta(minutes=number)
        told = replace(
            record(f"pbx1:{number}.1", at=at),
            recordings=() if name is None else (f"/var/spool/asterisk/monitor/{name}",),
        )
        await Ledger(pool).record([HeardFact(host().enterprise, HostName("pbx1"), ended(told), at)])
    [finding] = await all_of(recordings(replace(host(), recordings=folder), Survey(pool)))
    assert (finding.advice is None) == (finding.level is Level.OK)
    return finding


def made(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_bytes(b"RIFF")
    return str(folder)


async def test_none_are_wanted(pool: asyncpg.Pool) -> None:
    assert (await looked(pool, None)).level is Level.OK


async def test_those_of_another_machine_are_not_read_yet(pool: asyncpg.Pool) -> None:
    assert (await looked(pool, "sftp://pbx1/var/spool/asterisk/monitor")).level is Level.WARN


async def test_all_are_there(pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(pool, made(tmp_path, "a.wav", "b.wav"), ["a.wav", None, "b.wav"])
    assert (found.level, found.found.partition(" has ")[2][:16]) == (Level.OK, "all 2 newest, th")


async def test_none_is_there(pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(pool, made(tmp_path, "other.wav"), ["a.wav", "b.wav"])
    assert (found.level, found.found) == (Level.FAIL, f"{tmp_path} has none of the 2 newest that calls name")
    assert "b.wav" in str(found.advice)


async def test_some_are_missing(pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(pool, made(tmp_path, "a.wav"), ["a.wav", "b.wav"])
    assert (found.level, found.found) == (Level.WARN, f"{tmp_path} lacks 1 of the newest that calls name")


async def test_calls_that_never_name_one(pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(pool, made(tmp_path, "a.wav"), [None] * 5)
    assert (found.level, "dialplan" in str(found.advice)) == (Level.WARN, True)


async def test_a_few_that_name_none_prove_nothing(pool: asyncpg.Pool, tmp_path: Path) -> None:
    assert (await looked(pool, made(tmp_path, "a.wav"), [None] * 4)).level is Level.OK


async def test_an_empty_folder(pool: asyncpg.Pool, tmp_path: Path) -> None:
    assert (await looked(pool, str(tmp_path))).found == f"{tmp_path} is empty"


async def test_no_folder(pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(pool, str(tmp_path / "none"))
    assert (found.level, found.found) == (Level.FAIL, f"{tmp_path / 'none'}: No such file or directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
async def test_a_folder_that_is_closed_to_us(pool: asyncpg.Pool, tmp_path: Path) -> None:
    (closed := tmp_path / "monitor").mkdir(mode=0)
    assert "may not look into" in (await looked(pool, str(closed))).found
