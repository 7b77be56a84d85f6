"""What the CRM said of our module: kept, told at once, and an account that moved is served where it is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.enterprises import Enterprise, EnterpriseId, ModuleStanding
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.modules import tell_module
from tests.store.enterprises import romashka

pytestmark = pytest.mark.postgres

ONE = EnterpriseId("0123")
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOME = "https://romashka.retailcrm.ru"
NEW = "https://new.simla.com"


@pytest.fixture
async def directory(pool: asyncpg.Pool) -> Directory:
    directory = Directory(pool, Keyring([Key("one", b"o" * 32)]))
    await directory.apply(romashka())
    return directory


async def served(directory: Directory) -> Enterprise:
    [one] = await directory.load()
    assert await directory.load_one(ONE) == one
    return one


async def at(url: str, directory: Directory) -> Enterprise:
    """As applied from a file that names *url*."""
    await directory.apply(replace(romashka(), account=replace(romashka().account, url=url)))
    return await served(directory)


async def test_what_was_never_said_is_that_all_is_well(directory: Directory) -> None:
    module = (await served(directory)).module
    assert module == ModuleStanding()
    assert module.works


async def test_what_was_said_last_counts(directory: Directory, pool: asyncpg.Pool) -> None:
    assert await tell_module(pool, ONE, active=True, frozen=True, at=AT)
    assert (await served(directory)).module == ModuleStanding(True, True, AT)
    later = AT + timedelta(minutes=1)
    assert await tell_module(pool, ONE, active=False, frozen=False, at=later)
    module = (await served(directory)).module
    assert module == ModuleStanding(False, False, later)
    assert not module.works


async def test_of_an_enterprise_that_is_not_there_nothing_is_kept(directory: Directory, pool: asyncpg.Pool) -> None:
    assert not await tell_module(pool, EnterpriseId("0999"), active=True, frozen=False, at=AT)
    await tell_module(pool, ONE, active=False, frozen=False, at=AT)
    await directory.remove(ONE)
    assert await pool.fetchval("SELECT count(*) FROM crm_modules") == 0
    await directory.apply(romashka())
    assert (await served(directory)).module.works


async def test_whoever_follows_the_directory_is_told(directory: Directory, pool: asyncpg.Pool) -> None:
    async with aclosing(directory.changed(timedelta(hours=1))) as changes, asyncio.timeout(20):
        await anext(changes)
        await tell_module(pool, ONE, active=False, frozen=False, at=AT)
        await anext(changes)


async def test_an_account_that_moved_is_served_where_it_is(directory: Directory, pool: asyncpg.Pool) -> None:
    await tell_module(pool, ONE, active=True, frozen=False, at=AT, moved_to=NEW, unheeded="")
    moved = await served(directory)
    assert moved.account == replace(romashka().account, url=NEW)
    assert moved.module == ModuleStanding(told_at=AT, moved_from=HOME)
    # Said again without an address, it stays; the same file changes nothing.
    await tell_module(pool, ONE, active=False, frozen=False, at=AT)
    assert await directory.apply(romashka()) == []
    assert (await served(directory)).account.url == NEW
    # Back to where its file says.
    await tell_module(pool, ONE, active=True, frozen=False, at=AT, moved_to="", unheeded="")
    assert (await served(directory)).account.url == HOME
    assert (await served(directory)).module.moved_from is None


async def test_a_file_with_another_address_ends_a_move_and_what_was_said_of_the_other_account(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await tell_module(pool, ONE, active=False, frozen=True, at=AT, moved_to=NEW, unheeded="evil.example")
    other = await at("https://other.retailcrm.ru", directory)
    assert other.account.url == "https://other.retailcrm.ru"
    assert other.module == ModuleStanding()


async def test_a_file_that_names_where_the_account_moved_to_keeps_what_was_said_of_it(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await tell_module(pool, ONE, active=True, frozen=True, at=AT, moved_to=NEW, unheeded="")
    settled = await at(NEW, directory)
    assert settled.account.url == NEW
    assert settled.module == ModuleStanding(frozen=True, told_at=AT)
    await tell_module(pool, ONE, active=True, frozen=False, at=AT)
    assert (await served(directory)).account.url == NEW


async def test_an_address_that_is_not_followed_is_remembered_until_it_is_settled(
    directory: Directory, pool: asyncpg.Pool
) -> None:
    await tell_module(pool, ONE, active=True, frozen=False, at=AT, unheeded="evil.example")
    await tell_module(pool, ONE, active=True, frozen=False, at=AT)
    stood = await served(directory)
    assert (stood.account.url, stood.module.unheeded) == (HOME, "evil.example")
    await tell_module(pool, ONE, active=True, frozen=False, at=AT, unheeded="")
    assert (await served(directory)).module.unheeded is None


async def test_the_code_of_the_module_is_the_files(directory: Directory) -> None:
    assert await directory.apply(replace(romashka(), module_code="vendor-telephony")) == [
        "module code changed from none to vendor-telephony"
    ]
    assert (await served(directory)).module_code == "vendor-telephony"
