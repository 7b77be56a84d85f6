"""What the ledger knows of a call's recordings: their paths as the PBX wrote them, and where its host keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import UNHURRIED, fetch_within, load_queries

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class CallRecordings:
    """*paths*: in order, as the PBX named them. *folder*: the host's `recordings`, None when we cannot reach them."""

    paths: tuple[str, ...]
    folder: str | None
    ended_at: datetime


async def recordings_of_call(
    pool: asyncpg.Pool, enterprise: EnterpriseId, call: CallId, *, within: timedelta = UNHURRIED
) -> CallRecordings | None:
    """None: the call is not known, or not over. Raises TimeoutError when that is not known *within* the time."""
    rows = await fetch_within(pool, within, SQL["recordings_of_call"], enterprise, call)
    return CallRecordings(tuple(rows[0]["recordings"]), rows[0]["folder"], rows[0]["ended_at"]) if rows else None
