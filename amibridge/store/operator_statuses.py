"""How operators stand, as the CRM told last: it is told once, so it must survive a restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import Extension
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import UNHURRIED, fetch_within, load_queries

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """*user*: the CRM's. *extension*: his code there, None when none was named. *status*: in the CRM's words."""

    enterprise: EnterpriseId
    user: int
    extension: Extension | None
    status: str
    told_at: datetime


async def keep_status(pool: asyncpg.Pool, told: StoredStatus, *, within: timedelta = UNHURRIED) -> bool:
    """False if there is no such enterprise. Raises TimeoutError, DATABASE_FAILURES."""
    return bool(
        await fetch_within(
            pool, within, SQL["keep"], told.enterprise, told.user, told.extension, told.status, told.told_at
        )
    )


async def statuses_since(pool: asyncpg.Pool, since: datetime) -> list[StoredStatus]:
    """Of all enterprises, what was told later than *since*. Raises DATABASE_FAILURES."""
    return [StoredStatus(*row.values()) for row in await pool.fetch(SQL["since"], since)]
