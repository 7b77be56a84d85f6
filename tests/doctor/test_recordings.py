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
from amibridge.recordings.sftp import SftpSettings
from amibridge.redact import Secret
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.survey import Survey
from tests.delivery.rows import ended, record
from tests.doctor.looking import Told, all_of
from tests.recordings.test_sftp import HOST_KEY, OUR_KEY, STRANGER, put_key, put_known, sshd
from tests.store.enterprises import host

pytestmark = pytest.mark.postgres

NO_KEYS = SftpSettings(Path("/nowhere/key"), Path("/nowhere/known_hosts"))


async def looked(
    pool: asyncpg.Pool,
    folder: str | None,
    named: Sequence[str | None] = (),
    *,
    password: str | None = None,
    sftp: SftpSettings = NO_KEYS,
) -> Finding:
    """What is found where the newest answered calls name these recordings, the oldest first."""
    now = datetime.now(UTC)
    for number, name in enumerate(named):
        at = now - timedelta(hours=2) + timedelta(minutes=number)
        told = replace(
            record(f"pbx1:{number}.1", at=at),
            recordings=() if name is None else (f"/var/spool/asterisk/monitor/{name}",),
        )
        await Ledger(pool).record([HeardFact(host().enterprise, HostName("pbx1"), ended(told), at)])
    kept = replace(host(), recordings=folder, recordings_password=None if password is None else Secret(password))
    [finding] = await all_of(recordings(kept, Survey(pool), sftp))
    assert "hush" not in f"{finding}"
    assert (finding.advice is None) == (finding.level is Level.OK)
    return finding


def made(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_bytes(b"RIFF")
    return str(folder)


async def test_none_are_wanted(pool: asyncpg.Pool) -> None:
    assert (await looked(pool, None)).level is Level.OK


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


async def test_an_address_that_an_older_bridge_took(pool: asyncpg.Pool) -> None:
    found = await looked(pool, "https://bridge:hush@pbx.example/rec")
    assert (found.level, "recordings_password_file" in found.found) == (Level.FAIL, True)


async def test_a_web_server_that_has_all_or_some_or_none(pool: asyncpg.Pool) -> None:
    there = (200, "RIFF", {"Content-Type": "audio/wav"})
    told = Told({"/rec/a.wav": there})
    async with told.serve() as url:
        found = await looked(pool, f"{url}/rec", ["b.wav"])
        assert (found.level, found.found) == (Level.FAIL, f"{url}/rec/ has none of the 1 newest that calls name")
        found = await looked(pool, f"{url}/rec", ["b.wav", "a.wav"])
        assert (found.level, found.found) == (Level.WARN, f"{url}/rec/ lacks 1 of the newest that calls name")
        told.answers["/rec/b.wav"] = there
        assert (await looked(pool, f"{url}/rec")).level is Level.OK


async def test_a_web_server_that_lets_nobody_in_though_no_call_names_a_recording(pool: asyncpg.Pool) -> None:
    unknown = {"/rec/amibridge-doctor.wav": (401, "who are you?")}
    async with Told(unknown).serve() as url:
        found = await looked(pool, f"{url.replace('//', '//bridge@')}/rec", password="hush")
        assert (found.level, "(HTTP 401)" in found.found) == (Level.FAIL, True)
    assert (await looked(pool, f"{url}/rec")).level is Level.FAIL


async def test_an_sshd_that_has_all_and_one_that_is_another(pool: asyncpg.Pool, tmp_path: Path) -> None:
    sftp = SftpSettings(tmp_path / "data/sftp_key", tmp_path / "data/known_hosts")
    for name in ("data", "monitor"):
        (tmp_path / name).mkdir()
    made(tmp_path / "monitor", "a.wav")
    async with sshd(tmp_path) as place:
        put_key(tmp_path, OUR_KEY)
        put_known(tmp_path, STRANGER, place)
        found = await looked(pool, str(place), sftp=sftp)
        assert (found.level, "host key" in found.found) == (Level.FAIL, True)
        put_known(tmp_path, HOST_KEY, place)
        assert (await looked(pool, str(place), ["a.wav"], sftp=sftp)).level is Level.OK
