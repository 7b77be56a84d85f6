"""API tokens: made, listed, revoked. A running bridge hears of each change as of any change of an enterprise.

Laws: the token itself is told once, to whoever made it, and is nowhere; of what was revoked the row stays, for the
audit names it; every change is a row of the audit, in the same transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg

from amibridge.enterprises import ApiToken, EnterpriseId, Scope
from amibridge.redact import Secret
from amibridge.store.audit import COMMAND_LINE, AuditRow, columns
from amibridge.store.audit import SQL as AUDIT_SQL
from amibridge.store.db import load_queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL = load_queries(__file__)

PREFIX = "amibridge_"
"""So that whoever finds one in a file or a log knows what it is."""

RANDOM_BYTES = 32
"""Nobody guesses that, so a quick digest is as good as a slow one."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as people look at it."""

    id: int
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def digest_of(presented: str) -> bytes:
    """What is kept of a token, and compared."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()


async def load_tokens(
    connection: PoolConnectionProxy, number: EnterpriseId | None
) -> Mapping[EnterpriseId, Sequence[ApiToken]]:
    """Those that are good or will expire, of every enterprise or of the one that is named."""
    found: defaultdict[EnterpriseId, list[ApiToken]] = defaultdict(list)
    for row in await connection.fetch(SQL["load_tokens"], number):
        token = ApiToken(row["id"], row["digest"], frozenset(_scopes(row)), row["expires_at"])
        found[EnterpriseId(row["enterprise_id"])].append(token)
    return found


class Tokens:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(
        self, enterprise: EnterpriseId, scopes: Collection[Scope], *, at: datetime, expires_at: datetime | None = None
    ) -> tuple[int, Secret] | None:
        """Its id and the token; None if there is no such enterprise."""
        token = Secret(PREFIX + secrets.token_urlsafe(RANDOM_BYTES))
        names = sorted(scopes)
        async with self._pool.acquire() as connection, connection.transaction():
            id = await connection.fetchval(SQL["add_token"], enterprise, digest_of(token), names, at, expires_at)
            if id is None:
                return None
            row = AuditRow(enterprise, at, COMMAND_LINE, "", "token.add", f"token {id}", " ".join(names))
            await connection.execute(AUDIT_SQL["record_audit"], *columns([row]))
            await connection.execute(SQL["tell_change"], enterprise)
        return id, token

    async def find(self, enterprise: EnterpriseId) -> Sequence[TokenRow]:
        """All that were ever made, the oldest first."""
        return [
            TokenRow(row["id"], _scopes(row), row["created_at"], row["expires_at"], row["revoked_at"])
            for row in await self._pool.fetch(SQL["list_tokens"], enterprise)
        ]

    async def revoke(self, enterprise: EnterpriseId, id: int, *, at: datetime) -> bool:
        """False if there is none that could be."""
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(SQL["revoke_token"], enterprise, id, at) is None:
                return False
            row = AuditRow(enterprise, at, COMMAND_LINE, "", "token.revoke", f"token {id}", "done")
            await connection.execute(AUDIT_SQL["record_audit"], *columns([row]))
            await connection.execute(SQL["tell_change"], enterprise)
        return True


def _scopes(row: asyncpg.Record) -> tuple[Scope, ...]:
    """One that we do not know is another version's, and opens nothing here."""
    return tuple(Scope(name) for name in row["scopes"] if name in tuple(Scope))
