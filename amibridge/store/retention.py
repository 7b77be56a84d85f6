"""What may be forgotten when it is old: deliveries that are settled, requests to CRMs, the audit, follow-ups that are
over, and how operators stood.

Laws: what is due, parked or open is never forgotten; facts are never forgotten, so that a fact which is said again,
after a restart or a resync, is no new one and is told to no CRM again; a piece at a time, and most by the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import asyncpg

from amibridge.enterprises import EnterpriseId
from amibridge.store.db import beside_all_else, load_queries

SQL = load_queries(__file__)

PIECE = 1_000
"""Rows looked at in one statement: some milliseconds."""


class Forgettable(Enum):
    """The query that names the enterprises, and the one that deletes a piece."""

    DELIVERIES = ("with_deliveries", "forget_deliveries")
    REQUESTS = ("with_requests", "forget_requests")
    AUDIT = ("with_audit", "forget_audit")
    FOLLOW_UPS = ("with_follow_ups", "forget_follow_ups")
    OPERATOR_STATUSES = ("with_operator_statuses", "forget_operator_statuses")


@dataclass(frozen=True, slots=True)
class Piece:
    """*gone*: rows that were deleted. *after*: where the next piece begins, None when there is nothing old behind."""

    gone: int
    after: int | None


class Retention:
    """Raises what a database raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def enterprises(self, what: Forgettable) -> list[EnterpriseId]:
        """All of which there are rows, those that are served no more among them."""
        return [EnterpriseId(row["enterprise_id"]) for row in await self._pool.fetch(SQL[what.value[0]])]

    async def forget(
        self, what: Forgettable, enterprise: EnterpriseId, *, before: datetime, after: int = 0, limit: int = PIECE
    ) -> Piece:
        """Of the rows with an id over *after*, the first *limit*: those settled, or made, *before* are gone."""
        async with beside_all_else(self._pool) as connection:
            row = await connection.fetchrow(SQL[what.value[1]], enterprise, after, before, limit)
        assert row is not None
        return Piece(row["gone"], row["last"] if row["old"] else None)
