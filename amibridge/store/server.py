"""The database server as a visitor finds it: who it is, and what it lets us do. Reads its catalogs only.

Law: every question has a deadline, for who asks stands waiting; each may raise any of `DATABASE_FAILURES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.store.db import fetch_within, load_queries

SQL = load_queries(__file__)

WITHIN = timedelta(seconds=10)
"""One question."""


@dataclass(frozen=True, slots=True)
class ServerStanding:
    """*now*: by its clock. *bytes*: of the whole database."""

    version: str
    user: str
    now: datetime
    bytes: int
    read_only: bool


async def standing(pool: asyncpg.Pool) -> ServerStanding:
    [row] = await fetch_within(pool, WITHIN, SQL["standing"])
    return ServerStanding(**dict(row))


async def missing_rights(pool: asyncpg.Pool) -> Mapping[str, str]:
    """Tables of ours → what we may not do there, in SQL's words."""
    rows = await fetch_within(pool, WITHIN, SQL["missing_rights"])
    return {row["table"]: row["rights"] for row in rows}


@dataclass(frozen=True, slots=True)
class TableSize:
    """*bytes*: with its indexes. *rows*: about, as the server last counted; None if it never did."""

    table: str
    bytes: int
    rows: int | None


async def sizes(pool: asyncpg.Pool, most: int) -> list[TableSize]:
    """Our largest tables, the largest first."""
    return [TableSize(**dict(row)) for row in await fetch_within(pool, WITHIN, SQL["sizes"], most)]


async def not_ours(pool: asyncpg.Pool) -> Mapping[str, str]:
    """Tables that we could not alter → their owners."""
    rows = await fetch_within(pool, WITHIN, SQL["not_ours"])
    return {row["table"]: row["owner"] for row in rows}
