"""What the ledger knows of a call's recordings: their paths as the PBX wrote them, and where its host keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import load_queries

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class CallRecordings:
    """*paths*: in order, as the PBX named them. *folder*: the host's `recordings`, None when we cannot reach them."""

    paths: tuple[str, ...]
    folder: str | None
    ended_at: datetime


async def recordings_of_call(pool: asyncpg.Pool, enterprise: EnterpriseId, call: CallId) -> CallRecordings | None:
    row = await pool.fetchrow(SQL["recordings_of_call"], enterprise, call)
    return None if row is None else CallRecordings(tuple(row["recordings"]), row["folder"], row["ended_at"])
