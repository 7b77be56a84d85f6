"""The ledger of requests: what was asked of each CRM, what it answered, and what followed from that.

Laws: it is written beside deliveries and never in their way; it holds no secret and names nobody, for what is written
here is masked already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.codec import storable
from amibridge.store.db import beside_all_else, load_queries

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class CrmRequest:
    """*calls*, *deliveries*: what it told of, if it told of any, for the *attempt*-th time.

    *status*: None without an answer. *failure*: why it was no success, in words. *verdict*: what became of the
    deliveries; *next_attempt_at*: when the first of those that are still due is tried again.
    """

    enterprise: EnterpriseId
    at: datetime
    verb: str
    address: str
    calls: Sequence[CallId]
    deliveries: Sequence[int]
    attempt: int
    status: int | None
    took: timedelta
    failure: str | None
    verdict: str | None
    next_attempt_at: datetime | None
    request: str
    answer: str


class CrmRequests:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, requests: Sequence[CrmRequest]) -> None:
        """Write them down. Raises asyncpg's errors."""
        rows = [_written(ordinal, one) for ordinal, one in enumerate(requests)]
        async with beside_all_else(self._pool) as connection:
            await connection.execute(SQL["record_requests"], json.dumps(rows))

    async def of_calls(self, enterprise: EnterpriseId, calls: Sequence[CallId]) -> list[CrmRequest]:
        """In the order in which they were made."""
        rows = await self._pool.fetch(SQL["requests_of_calls"], enterprise, [storable(call) for call in calls])
        return [crm_request(row) for row in rows]

    async def newest(self, enterprise: EnterpriseId, limit: int) -> list[CrmRequest]:
        """The newest first, whatever they were about."""
        return [crm_request(row) for row in await self._pool.fetch(SQL["newest_requests"], enterprise, limit)]


def _written(ordinal: int, one: CrmRequest) -> dict[str, object]:
    return {
        "ordinal": ordinal,
        "enterprise_id": one.enterprise,
        "at": one.at.isoformat(),
        "verb": one.verb,
        "address": one.address,
        "calls": [storable(call) for call in one.calls],
        "deliveries": list(one.deliveries),
        "attempt": one.attempt,
        "http_status": one.status,
        "took": one.took.total_seconds(),
        "failure": None if one.failure is None else storable(one.failure),
        "verdict": one.verdict,
        "next_attempt_at": None if one.next_attempt_at is None else one.next_attempt_at.isoformat(),
        "request": one.request,
        "answer": one.answer,
    }


def crm_request(row: asyncpg.Record) -> CrmRequest:
    """A row of `crm_requests`."""
    return CrmRequest(
        enterprise=EnterpriseId(row["enterprise_id"]),
        at=row["at"],
        verb=row["verb"],
        address=row["address"],
        calls=tuple(CallId(call) for call in row["calls"]),
        deliveries=tuple(row["deliveries"]),
        attempt=row["attempt"],
        status=row["http_status"],
        took=row["took"],
        failure=row["failure"],
        verdict=row["verdict"],
        next_attempt_at=row["next_attempt_at"],
        request=row["request"],
        answer=row["answer"],
    )
