"""The outbox: deliveries as rows, read after a start and settled in batches.

Laws: while we run, rows reach the lanes in memory right after the commit that made them; this table is durability.
A row's times are of our clock, for it is what they are compared with: the database may be on another machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import asyncpg
import structlog

from amibridge.calls.facts import AnyFact
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.codec import decode_fact, storable
from amibridge.store.db import UNHURRIED, fetch_within, load_queries

log = structlog.get_logger()

SQL = load_queries(__file__)

KNOWS_NOT = "accepted; the CRM does not know "
"""Begins the answer to a popup that was taken, before the extensions and users that nobody in the CRM has."""

USER = "user "
"""Begins the name of a user there; an extension has no blank in it."""

LONGEST_NAMES = 400
"""Characters of them in one answer: of a big queue the rest is told when these are mended."""


class DeliveryStatus(StrEnum):
    DUE = "due"
    SENT = "sent"
    DROPPED = "dropped"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One fact on its way to the CRM of *enterprise*, or to its *webhook* of that name.

    *fresh_until* None: never too late. *first_tried_at*: when the first try began to be repeated, None if none failed.
    *seq*: the fact's place in the ledger. *perhaps_told*: it was read from the table, and whoever had it before, as a
    run of us that was killed, may have told it.
    """

    enterprise: EnterpriseId
    id: int
    host: HostName
    call: CallId
    kind: NoticeKind
    fact: AnyFact
    attempts: int
    due_at: datetime
    fresh_until: datetime | None
    created_at: datetime
    first_tried_at: datetime | None = None
    webhook: str = ""
    seq: int = 0
    perhaps_told: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one delivery. *due_at* only with status DUE: when to try again."""

    enterprise: EnterpriseId
    id: int
    status: DeliveryStatus
    due_at: datetime | None
    attempts: int
    answer: str | None
    first_tried_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as people look at it. *webhook* empty: it is for the CRM."""

    enterprise: EnterpriseId
    id: int
    host: HostName
    call: CallId
    fact: str
    kind: NoticeKind
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    fresh_until: datetime | None
    answer: str | None
    created_at: datetime
    settled_at: datetime | None
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many rows for one enterprise's CRM, or its *webhook*, are in *status*, and since when the oldest."""

    enterprise: EnterpriseId
    status: DeliveryStatus
    rows: int
    oldest: datetime
    webhook: str = ""


class Outbox:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._unreadable: set[tuple[EnterpriseId, int]] = set()

    async def load_due(
        self, enterprise: EnterpriseId, *, after: int = 0, limit: int = 10_000, webhook: str = ""
    ) -> list[Delivery]:
        """Due rows for the CRM of *enterprise*, or its *webhook*, with an id over *after*, in order, at most *limit*.

        None when there are no more.

        A row whose fact cannot be read is left due, and said once. One that was made while our clock was ahead is moved
        to now, with all its times: else it would wait for that future.
        """
        while rows := await self._pool.fetch(SQL["load_due"], enterprise, after, limit, webhook):
            found = [delivery for row in rows if (delivery := self._delivery(row)) is not None]
            if found:
                return found
            after = rows[-1]["id"]
        return []

    def _delivery(self, row: asyncpg.Record) -> Delivery | None:
        enterprise, id, call = EnterpriseId(row["enterprise_id"]), row["id"], CallId(row["call_id"])
        try:
            fact = decode_fact(row["fact_kind"], row["body"])
        except ValueError:
            if (enterprise, id) not in self._unreadable:
                self._unreadable.add((enterprise, id))
                log.error("delivery_unreadable", enterprise=enterprise, call=call, delivery=id, kind=row["fact_kind"])
            return None
        ahead = max(timedelta(0), row["created_at"] - datetime.now(UTC))
        return Delivery(
            enterprise=enterprise,
            id=id,
            host=HostName(row["host"]),
            call=call,
            kind=NoticeKind(row["kind"]),
            fact=fact,
            attempts=row["attempts"],
            due_at=row["due_at"] - ahead,
            fresh_until=_earlier(row["fresh_until"], ahead),
            created_at=row["created_at"] - ahead,
            first_tried_at=_earlier(row["first_tried_at"], ahead),
            perhaps_told=True,
            webhook=row["webhook"],
            seq=row["seq"],
        )

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write verdicts, all in one statement."""
        await self._pool.execute(
            SQL["settle"],
            [one.enterprise for one in settlements],
            [one.id for one in settlements],
            [str(one.status) for one in settlements],
            [one.due_at for one in settlements],
            [one.attempts for one in settlements],
            [None if one.answer is None else storable(one.answer) for one in settlements],
            [one.first_tried_at for one in settlements],
            datetime.now(UTC),
        )

    async def backlogs(self, within: timedelta = UNHURRIED) -> list[Backlog]:
        """What waits and what is parked, by enterprise. Raises TimeoutError when that takes longer."""
        rows = await fetch_within(self._pool, within, SQL["count_deliveries"])
        return [
            Backlog(
                EnterpriseId(row["enterprise_id"]),
                DeliveryStatus(row["status"]),
                row["rows"],
                row["oldest"],
                row["webhook"],
            )
            for row in rows
        ]

    async def find(
        self,
        enterprise: EnterpriseId,
        *,
        status: DeliveryStatus | None = None,
        calls: Sequence[CallId] | None = None,
        limit: int = 100,
    ) -> list[DeliveryRow]:
        """The newest rows of *enterprise* that fit. *calls* None: of all."""
        rows = await self._pool.fetch(SQL["list_deliveries"], enterprise, status, calls, limit)
        return [delivery_row(row) for row in rows]

    async def calls_of_number(self, enterprise: EnterpriseId, digits: str, *, limit: int) -> list[CallId]:
        """The newest calls that are over with a number outside that ends with *digits*, the newest first."""
        rows = await self._pool.fetch(SQL["calls_of_number"], enterprise, digits, limit)
        return [CallId(row["call_id"]) for row in rows]

    async def of_ids(self, enterprise: EnterpriseId, ids: Sequence[int]) -> list[DeliveryRow]:
        """Those of *ids* that there are."""
        rows = await self._pool.fetch(SQL["deliveries_by_id"], enterprise, list(ids))
        return [delivery_row(row) for row in rows]

    async def given_up(self, enterprise: EnterpriseId, call: CallId | None = None) -> list[int]:
        """What `resend` could make due: all that is parked, or of one *call* also what was dropped."""
        if call is None:
            rows = await self._pool.fetch(SQL["parked"], enterprise)
        else:
            rows = await self._pool.fetch(SQL["given_up_of_call"], enterprise, call)
        return [row["id"] for row in rows]

    async def resend(self, enterprise: EnterpriseId, ids: Sequence[int]) -> list[int]:
        """Make parked or dropped history, errands and events due again; the ids for which that was possible."""
        rows = await self._pool.fetch(SQL["resend"], enterprise, list(ids), datetime.now(UTC))
        return [row["id"] for row in rows]


def _earlier(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at - by


def knows_not(names: Sequence[str]) -> str:
    """The answer of a CRM that has none of *names*: extensions, and users as ``user 27``."""
    said = ", ".join(names)
    return KNOWS_NOT + (said if len(said) <= LONGEST_NAMES else said[:LONGEST_NAMES].rpartition(", ")[0])


def delivery_row(row: asyncpg.Record) -> DeliveryRow:
    """A row of `list_deliveries`, or with the same columns."""
    return DeliveryRow(
        enterprise=EnterpriseId(row["enterprise_id"]),
        id=row["id"],
        host=HostName(row["host"]),
        call=CallId(row["call_id"]),
        fact=row["fact_key"],
        kind=NoticeKind(row["kind"]),
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        fresh_until=row["fresh_until"],
        answer=row["last_answer"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        webhook=row["webhook"],
    )
