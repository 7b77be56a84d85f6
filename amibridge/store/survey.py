"""What in the database a person should look at. Reads only.

Law: every question has a deadline, for who asks stands waiting; each may raise any of `DATABASE_FAILURES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.db import fetch_within, load_queries
from amibridge.store.outbox import KNOWS_NOT, DeliveryRow, DeliveryStatus, delivery_row
from amibridge.store.server import WITHIN

SQL = load_queries(__file__)

RECENT = 500
"""Deliveries that are looked through, at most, for what the CRM did not know: some days of a small company."""


@dataclass(frozen=True, slots=True)
class Rejected:
    enterprise: EnterpriseId
    facts: int
    error: str


@dataclass(frozen=True, slots=True)
class LongCalls:
    """Calls of *host* that go on, though nothing was heard of them, of the first *since*."""

    host: HostName
    calls: int
    since: datetime


@dataclass(frozen=True, slots=True)
class SeenWhole:
    """How many *calls* there were, how many of them *incomplete*, and why the newest of these, if any."""

    calls: int
    incomplete: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Riddles:
    """How many changes or calls were not understood, and the newest of them: of which *call*, in what words."""

    many: int
    call: CallId
    text: str


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    recordings: tuple[str, ...]
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class ParkedFor:
    """*rows* of *kind*, the *oldest* made then, all given up for one *reason*."""

    kind: NoticeKind
    reason: str | None
    rows: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class OldestKept:
    """When the first request was made and the first settled delivery settled, of those that are still kept."""

    request: datetime | None
    delivery: datetime | None


class Survey:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def riddles(self, enterprise: EnterpriseId, *, since: datetime) -> Riddles | None:
        """What the core did not understand of this enterprise's calls; None if there was nothing."""
        rows = await fetch_within(self._pool, WITHIN, SQL["riddles"], enterprise, since)
        return Riddles(rows[0]["many"], CallId(rows[0]["call_id"]), rows[0]["text"]) if rows else None

    async def rejected(self) -> Sequence[Rejected]:
        """By enterprise; none, if all is well."""
        rows = await self._ask("rejected")
        return [Rejected(EnterpriseId(row["enterprise_id"]), row["facts"], row["error"]) for row in rows]

    async def long_calls(self, enterprise: EnterpriseId, *, unheard_since: datetime) -> Sequence[LongCalls]:
        rows = await self._ask("long_calls", enterprise, unheard_since)
        return [LongCalls(HostName(row["host"]), row["calls"], row["since"]) for row in rows]

    async def seen_whole(self, enterprise: EnterpriseId, *, since: datetime) -> SeenWhole:
        [row] = await self._ask("seen_whole", enterprise, since)
        return SeenWhole(**dict(row))

    async def newest_deliveries(
        self, enterprise: EnterpriseId, webhook: str = ""
    ) -> Mapping[DeliveryStatus, DeliveryRow]:
        """The newest that is due, that was sent, and that is parked, as far as there are any."""
        rows = [delivery_row(row) for row in await self._ask("newest_deliveries", enterprise, webhook)]
        return {row.status: row for row in rows}

    async def parked_for(self, enterprise: EnterpriseId, *, most: int, webhook: str = "") -> Sequence[ParkedFor]:
        """The most frequent reason first."""
        rows = await self._ask("parked_for", enterprise, most, webhook)
        return [ParkedFor(NoticeKind(row["kind"]), row["last_answer"], row["rows"], row["oldest"]) for row in rows]

    async def oldest_kept(self, enterprise: EnterpriseId) -> OldestKept:
        [row] = await self._ask("oldest_kept", enterprise)
        return OldestKept(**dict(row))

    async def unknown_to_crm(self, enterprise: EnterpriseId, *, since: datetime) -> Sequence[str]:
        """Extensions and users that the CRM does not know, by what it said last when an extension rang or dialled.

        Those it said last come first; a user is called as in `USER`.
        """
        told: set[str] = set()
        found: dict[str, None] = {}
        for row in await self._ask("answers_to_popups", enterprise, since, RECENT):
            extension, answer = row["extension"], row["last_answer"]
            if extension in told:
                continue
            told.add(extension)
            names = answer.removeprefix(KNOWS_NOT).split(", ") if answer.startswith(KNOWS_NOT) else []
            found |= dict.fromkeys(name for name in names if name == extension or name not in told)
        return list(found)

    async def newest_call(self, enterprise: EnterpriseId, host: HostName) -> datetime | None:
        """When it ended."""
        rows = await self._ask("newest_call", enterprise, host)
        return rows[0]["ended_at"] if rows else None

    async def newest_answered(
        self, enterprise: EnterpriseId, host: HostName, *, before: datetime, limit: int
    ) -> Sequence[AnsweredCall]:
        """The newest first."""
        rows = await self._ask("newest_answered", enterprise, host, before, limit)
        return [AnsweredCall(tuple(row["recordings"]), row["ended_at"]) for row in rows]

    async def _ask(self, query: str, *args: Any) -> list[asyncpg.Record]:
        return await fetch_within(self._pool, WITHIN, SQL[query], *args)
