"""Where an operator's phone is, in an enterprise with several hosts: where calls have met it."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import Extension
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.db import UNHURRIED, fetch_within, load_queries

SQL = load_queries(__file__)


async def host_of_extension(
    pool: asyncpg.Pool,
    enterprise: EnterpriseId,
    extension: Extension,
    since: datetime,
    *,
    within: timedelta = UNHURRIED,
) -> HostName | None:
    """The host of the last call in which *extension* called, rang or talked; None if there was none *since* then.

    Raises TimeoutError when that is not known *within* the time.
    """
    rows = await fetch_within(pool, within, SQL["host_of_extension"], enterprise, extension, since)
    return HostName(rows[0]["host"]) if rows else None
