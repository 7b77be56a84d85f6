"""Where the recordings of a call are to be found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring, SealBroken
from amibridge.store.directory import Directory
from amibridge.store.ledger import Ledger
from amibridge.store.recordings import CallRecordings, recordings_of_call
from tests.delivery.rows import NOON, ended, rang, record
from tests.store.enterprises import host, romashka
from tests.store.said import heard

pytestmark = pytest.mark.postgres

ONE, CALL = EnterpriseId("0123"), CallId("pbx1:1700.1")
MONITOR = "/var/spool/asterisk/monitor"
KEYRING = Keyring([Key("key", b"k" * 32)])
PATHS = (f"{MONITOR}/2026/03/10/in-1.wav", f"{MONITOR}/2026/03/10/in-2.wav")


@pytest.fixture
async def directory(pool: asyncpg.Pool) -> Directory:
    """One enterprise whose recordings we can reach, and its call with two of them."""
    directory = Directory(pool, KEYRING)
    await directory.apply(romashka())
    await Ledger(pool).record(heard(ended(replace(record(CALL), recordings=PATHS)), host="pbx1"))
    return directory


@pytest.mark.usefixtures("directory")
async def test_recordings_come_in_order_with_the_folder_of_their_host(pool: asyncpg.Pool) -> None:
    assert await recordings_of_call(pool, KEYRING, ONE, CALL) == CallRecordings(PATHS, MONITOR, NOON)


@pytest.mark.usefixtures("directory")
async def test_of_a_call_without_recordings_there_are_none(pool: asyncpg.Pool) -> None:
    await Ledger(pool).record(heard(ended(record("pbx1:1700.2")), host="pbx1"))
    assert await recordings_of_call(pool, KEYRING, ONE, CallId("pbx1:1700.2")) == CallRecordings((), MONITOR, NOON)


@pytest.mark.usefixtures("directory")
async def test_a_call_that_goes_on_or_is_of_another_enterprise_has_no_answer(pool: asyncpg.Pool) -> None:
    await Ledger(pool).record(heard(rang("pbx1:1700.3", "101"), host="pbx1"))
    assert await recordings_of_call(pool, KEYRING, ONE, CallId("pbx1:1700.3")) is None
    assert await recordings_of_call(pool, KEYRING, EnterpriseId("0456"), CALL) is None
    assert await recordings_of_call(pool, KEYRING, ONE, CallId("pbx1:1700.1'")) is None


async def test_the_folder_is_that_of_the_host_as_it_is_now(directory: Directory, pool: asyncpg.Pool) -> None:
    """Folders move; a host we cannot reach, or that is gone, has none. Another host's folder is not it."""
    for hosts, folder in (
        ((replace(host(), recordings="/mnt/recordings"),), "/mnt/recordings"),
        ((replace(host(), recordings=None),), None),
        ((host(name="pbx2"),), None),
    ):
        await directory.apply(replace(romashka(), hosts=hosts))
        assert await recordings_of_call(pool, KEYRING, ONE, CALL) == CallRecordings(PATHS, folder, NOON)
    await directory.remove(ONE)
    assert await recordings_of_call(pool, KEYRING, ONE, CALL) == CallRecordings(PATHS, None, NOON)


async def test_the_same_call_id_in_two_enterprises_means_two_calls(directory: Directory, pool: asyncpg.Pool) -> None:
    two = EnterpriseId("0456")
    theirs = replace(host("0456"), recordings="/theirs")
    await directory.apply(replace(romashka("0456"), hosts=(theirs,)))
    await Ledger(pool).record(
        heard(ended(replace(record(CALL), recordings=("/theirs/1.wav",))), enterprise="0456", host=HostName("pbx1"))
    )
    assert await recordings_of_call(pool, KEYRING, two, CALL) == CallRecordings(("/theirs/1.wav",), "/theirs", NOON)
    assert await recordings_of_call(pool, KEYRING, ONE, CALL) == CallRecordings(PATHS, MONITOR, NOON)


async def test_what_opens_their_place_and_for_how_long_they_are_kept(directory: Directory, pool: asyncpg.Pool) -> None:
    kept = replace(host(), recordings="https://a@pbx.example/", recordings_password=Secret("hush-recordings"))
    await directory.apply(replace(romashka(), hosts=(kept,), recordings_keep=timedelta(days=90)))
    found = await recordings_of_call(pool, KEYRING, ONE, CALL)
    assert found is not None
    assert (found.password, found.keep) == ("hush-recordings", timedelta(days=90))
    assert "hush" not in repr(found)
    stored = await pool.fetchval("SELECT recordings_password FROM hosts")
    assert b"hush" not in stored
    with pytest.raises(SealBroken):
        await recordings_of_call(pool, Keyring([Key("other", b"o" * 32)]), ONE, CALL)
