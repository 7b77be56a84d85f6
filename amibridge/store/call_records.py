"""Calls that are over, as records again: pages in a stable order, and one with all that hangs on it.

Laws: the order is that of the beginning, the newest first, and of ids where two began at once; every page is served by
an index, however rare what is asked for; every question has a deadline.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from amibridge.calls.record import (
    CallId,
    CallRecord,
    Direction,
    Extension,
    HangupBy,
    Outcome,
    Transfer,
    TransferKind,
)
from amibridge.enterprises import EnterpriseId
from amibridge.store.codec import storable
from amibridge.store.db import fetch_within, load_queries
from amibridge.store.outbox import DeliveryRow, delivery_row

SQL = load_queries(__file__)
PAGES = {name: f"WITH calls AS ({sql}) {SQL['told']}" for name, sql in SQL.items() if name.startswith("calls_of_")}
WHOLE = f"""
SELECT told.record, ({SQL["attempts_told"]}) AS attempts, ({SQL["deliveries_told"]}) AS deliveries
  FROM ({SQL["told"]} AND call_id = $2) AS told"""

WITHIN = timedelta(seconds=8)

MOST_DELIVERIES = 1000
"""Of one call; a queue of fifty phones that rings for an hour has as many."""

BEGINNING, END = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """In the order of pages: what is asked for lies behind it."""

    started_at: datetime = END
    call: str = ""

    def is_before(self, record: CallRecord) -> bool:
        return (record.started_at, record.call_id) < (self.started_at, self.call)


class Told(NamedTuple):
    """A call as the JSON that is published of it, and its place in the order of pages."""

    started_at: datetime
    call: CallId
    record: str


class Whole(NamedTuple):
    """A call, each time a phone was tried for it, and what was told of it, each as the JSON that is published of it."""

    record: str
    attempts: str
    deliveries: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """None: whatever it is. *operator*: who called, rang or talked. *since* is in it, *until* is not."""

    phone: str | None = None
    operator: str | None = None
    direction: Direction | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, record: CallRecord) -> bool:
        return (
            self.phone in (None, record.phone)
            and self.operator in (None, record.caller, *record.rang, *record.operators)
            and self.direction in (None, record.direction)
            and self.outcome in (None, record.outcome)
            and (self.since is None or record.started_at >= self.since)
            and (self.until is None or record.started_at < self.until)
        )


class CallRecords:
    """Raises any of `DATABASE_FAILURES`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def page(self, enterprise: EnterpriseId, wanted: Wanted, *, behind: Position, limit: int) -> Sequence[Told]:
        """At most *limit* that lie *behind* a place."""
        behind = min(behind, Position(wanted.until or END), key=lambda place: (place.started_at, place.call))
        directions = [*Direction] if wanted.direction is None else [wanted.direction]
        outcomes = [*Outcome] if wanted.outcome is None else [wanted.outcome]
        span = (enterprise, wanted.since or BEGINNING, behind.started_at, behind.call, limit)
        if wanted.phone is not None:
            operator = None if wanted.operator is None else storable(wanted.operator)
            rows = await self._ask(PAGES["calls_of_phone"], *span, directions, outcomes, wanted.phone, operator)
        elif wanted.operator is not None:
            rows = await self._ask(PAGES["calls_of_extension"], *span, directions, outcomes, storable(wanted.operator))
        elif wanted.direction is not None or wanted.outcome is not None:
            rows = await self._ask(PAGES["calls_of_verdict"], *span, directions, outcomes)
        else:
            rows = await self._ask(PAGES["calls_of_time"], *span)
        return [Told(*row) for row in rows]

    async def of_span(
        self, enterprise: EnterpriseId, since: datetime, *, behind: Position, limit: int
    ) -> Sequence[CallRecord]:
        """Those that began *since* then, as `page` has them, without their attempts."""
        rows = await self._ask(SQL["calls_of_time"], enterprise, since, behind.started_at, behind.call, limit)
        return [_record(row) for row in rows]

    async def is_over(self, enterprise: EnterpriseId, call: CallId) -> bool:
        """Whether there is such a call, and it is over."""
        return bool(await self._ask(SQL["call_is_over"], enterprise, storable(call)))

    async def whole(self, enterprise: EnterpriseId, call: CallId) -> Whole | None:
        """None if there is none that is over."""
        rows = await self._ask(WHOLE, enterprise, storable(call), MOST_DELIVERIES)
        return Whole(*rows[0]) if rows else None

    async def deliveries(self, enterprise: EnterpriseId, call: CallId) -> Sequence[DeliveryRow]:
        rows = await self._ask(SQL["deliveries_of_call"], enterprise, storable(call), MOST_DELIVERIES)
        return [delivery_row(row) for row in rows]

    async def _ask(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        return await fetch_within(self._pool, WITHIN, sql, *args)


def _record(row: asyncpg.Record) -> CallRecord:
    return CallRecord(
        call_id=CallId(row["call_id"]),
        direction=Direction(row["direction"]),
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        external_number=row["external_number"],
        phone=row["phone"],
        caller_name=row["caller_name"],
        line=row["line"],
        queue=row["queue"],
        rang=tuple(row["rang"]),
        operators=tuple(row["operators"]),
        caller=row["caller"],
        started_at=row["started_at"],
        rang_at=row["rang_at"],
        answered_at=row["answered_at"],
        ended_at=row["ended_at"],
        waited=row["waited"],
        talked=row["talked"],
        hangup_by=None if row["hangup_by"] is None else HangupBy(row["hangup_by"]),
        transfers=tuple(_transfer(one) for one in json.loads(row["transfers"])),
        recordings=tuple(row["recordings"]),
        click_to_call=row["click_to_call"],
        complete=row["complete"],
        notes=tuple(row["notes"]),
        attempts=(),
    )


def _transfer(said: dict[str, Any]) -> Transfer:
    at = datetime.fromisoformat(said["at"])
    return Transfer(TransferKind(said["kind"]), Extension(said["from"]), said["to"], at, said["answered"])
