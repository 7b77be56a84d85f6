"""Anomalies: changes of a call that the core did not understand, each with the bytes that caused it.

They are evidence for whoever mends the core, bounded for each host: no call waits for one, and old ones are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from amibridge.calls.record import CallId
from amibridge.calls.telling import Anomaly
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.codec import storable
from amibridge.store.db import load_queries

SQL = load_queries(__file__)

KEPT = 200
"""Of each host: some megabytes at most."""


@dataclass(frozen=True, slots=True)
class HeardAnomaly:
    """An anomaly and where it was met. *passed_over*: how many of the host's before it were only counted. *trace*: what
    was heard of its call lately, as raw AMI."""

    enterprise: EnterpriseId
    host: HostName
    anomaly: Anomaly
    passed_over: int
    trace: bytes


@dataclass(frozen=True, slots=True)
class AnomalyRow:
    """An anomaly as it was recorded."""

    enterprise: EnterpriseId
    id: int
    host: HostName
    call: CallId
    at: datetime
    text: str
    passed_over: int
    trace: bytes
    recorded_at: datetime


async def record_anomalies(pool: asyncpg.Pool, heard: Sequence[HeardAnomaly]) -> None:
    """Write them down, and forget the oldest of hosts that have more than `KEPT`. Raises asyncpg's errors."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            SQL["record_anomalies"],
            [one.enterprise for one in heard],
            [one.host for one in heard],
            [storable(one.anomaly.call) for one in heard],
            [one.anomaly.at for one in heard],
            [storable(one.anomaly.text) for one in heard],
            [one.passed_over for one in heard],
            [one.trace for one in heard],
        )
        for enterprise, host in dict.fromkeys((one.enterprise, one.host) for one in heard):
            await connection.execute(SQL["forget_anomalies"], enterprise, host, KEPT)


async def latest_anomalies(
    pool: asyncpg.Pool, enterprise: EnterpriseId | None = None, host: HostName | None = None, *, limit: int = KEPT
) -> list[AnomalyRow]:
    """The newest first; of every enterprise and every host unless one is named."""
    return [_row(row) for row in await pool.fetch(SQL["latest_anomalies"], enterprise, host, limit)]


async def anomalies_of_call(
    pool: asyncpg.Pool, call: CallId, enterprise: EnterpriseId | None = None
) -> list[AnomalyRow]:
    """Those of one call, the newest first; two enterprises may have a call of the same id."""
    return [_row(row) for row in await pool.fetch(SQL["anomalies_of_call"], storable(call), enterprise)]


def _row(row: asyncpg.Record) -> AnomalyRow:
    return AnomalyRow(
        enterprise=EnterpriseId(row["enterprise_id"]),
        id=row["id"],
        host=HostName(row["host"]),
        call=CallId(row["call_id"]),
        at=row["at"],
        text=row["text"],
        passed_over=row["passed_over"],
        trace=row["trace"],
        recorded_at=row["recorded_at"],
    )
