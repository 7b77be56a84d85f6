"""Tokens at rest: their digest alone, several at once, and gone when they are revoked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.enterprises import ApiToken, EnterpriseId, Scope
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.tokens import Tokens, digest_of
from tests.store.enterprises import romashka

pytestmark = pytest.mark.postgres

HERE, THERE = EnterpriseId("0123"), EnterpriseId("0124")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
async def directory(pool: asyncpg.Pool) -> Directory:
    directory = Directory(pool, Keyring([Key("key", b"k" * 32)]))
    await directory.apply(romashka(HERE))
    await directory.apply(romashka(THERE))
    return directory


async def served(directory: Directory, number: EnterpriseId = HERE) -> Sequence[ApiToken]:
    [one] = [one for one in await directory.load() if one.id == number]
    return one.tokens


async def test_what_is_made_is_served_until_it_is_revoked(pool: asyncpg.Pool, directory: Directory) -> None:
    tokens, till = Tokens(pool), NOW + timedelta(days=90)
    first = await tokens.add(HERE, {Scope.READ, Scope.CALL}, at=NOW)
    second = await tokens.add(HERE, {Scope.READ}, at=NOW, expires_at=till)
    assert first is not None
    assert second is not None
    assert await served(directory) == (
        ApiToken(first[0], digest_of(first[1]), frozenset({Scope.READ, Scope.CALL})),
        ApiToken(second[0], digest_of(second[1]), frozenset({Scope.READ}), till),
    )
    assert await served(directory, THERE) == ()
    assert not await tokens.revoke(THERE, first[0], at=NOW)
    assert await tokens.revoke(HERE, first[0], at=NOW)
    assert not await tokens.revoke(HERE, first[0], at=NOW)
    assert [token.id for token in await served(directory)] == [second[0]]
    assert [(row.id, row.revoked_at) for row in await tokens.find(HERE)] == [(first[0], NOW), (second[0], None)]


async def test_the_token_itself_is_nowhere(pool: asyncpg.Pool, directory: Directory) -> None:
    made = await Tokens(pool).add(HERE, {Scope.READ}, at=NOW)
    assert made is not None
    assert len(made[1]) > 40
    assert repr(made[1]) == "'******'"
    rows = [
        str(row[0])
        for table in ("api_tokens", "audit")
        for row in await pool.fetch(f"SELECT {table}::text FROM {table}")
    ]
    assert len(rows) == 2
    assert made[1] not in "".join(rows)
    assert repr(await served(directory)).count("digest") == 0


async def test_every_change_is_in_the_audit(pool: asyncpg.Pool, directory: Directory) -> None:
    made = await Tokens(pool).add(HERE, {Scope.READ, Scope.CALL}, at=NOW)
    assert made is not None
    await Tokens(pool).revoke(HERE, made[0], at=NOW)
    rows = await pool.fetch("SELECT enterprise_id, who, action, target, outcome FROM audit ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (HERE, "command line", "token.add", f"token {made[0]}", "call read"),
        (HERE, "command line", "token.revoke", f"token {made[0]}", "done"),
    ]


async def test_a_running_bridge_hears_of_it(pool: asyncpg.Pool, directory: Directory) -> None:
    async with aclosing(directory.changed(timedelta(hours=1))) as rings:
        await anext(rings)
        await Tokens(pool).add(HERE, {Scope.READ}, at=NOW)
        await anext(rings)
    assert len(await served(directory)) == 1


async def test_a_file_that_is_applied_again_keeps_them_and_an_enterprise_that_goes_takes_them_along(
    pool: asyncpg.Pool, directory: Directory
) -> None:
    await Tokens(pool).add(HERE, {Scope.READ}, at=NOW)
    assert await directory.apply(romashka(HERE)) == []
    assert len(await served(directory)) == 1
    await directory.remove(HERE)
    await directory.apply(romashka(HERE))
    assert await served(directory) == ()
    assert await Tokens(pool).find(HERE) == []


async def test_nobodys_token_is_not_made_and_a_scope_of_another_version_opens_nothing(
    pool: asyncpg.Pool, directory: Directory
) -> None:
    assert await Tokens(pool).add(EnterpriseId("9999"), {Scope.READ}, at=NOW) is None
    await Tokens(pool).add(HERE, {Scope.READ}, at=NOW)
    await pool.execute("UPDATE api_tokens SET scopes = '{read,rule}'")
    [token] = await served(directory)
    assert token.scopes == {Scope.READ}
