"""What the CRM says of our module in an account, kept: everybody who serves the enterprise is told at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from amibridge.enterprises import EnterpriseId
from amibridge.store.db import UNHURRIED, fetch_within, load_queries

SQL = load_queries(__file__)


async def tell_module(
    pool: asyncpg.Pool,
    number: EnterpriseId,
    *,
    active: bool,
    frozen: bool,
    at: datetime,
    moved_to: str | None = None,
    unheeded: str | None = None,
    within: timedelta = UNHURRIED,
) -> bool:
    """As `enterprises.ModuleStanding` has it; an empty *moved_to*: back to the address in the file. None leaves either
    as it is, an empty *unheeded* ends it. False if there is no such enterprise. Raises TimeoutError, DATABASE_FAILURES.
    """
    return bool(await fetch_within(pool, within, SQL["tell"], number, active, frozen, at, moved_to, unheeded))
