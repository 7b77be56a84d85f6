"""What we made in the CRM for missed calls, and whether the customer was reached since.

Laws: of a call at most one is ever made; of a phone at most one is open; a row stands before the CRM is asked, so that
what a run that died has asked for is looked for, not asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import load_queries

SQL = load_queries(__file__)


class FollowUpKind(StrEnum):
    TASK = "task"
    ORDER = "order"


class Ending(StrEnum):
    """*BY_OTHERS*: somebody in the CRM went on with it. *GONE*: the CRM has it no more. *ACCOUNT_LEFT*: it was made in
    an account that the enterprise has no more.
    """

    REACHED = "reached"
    BY_OTHERS = "by others"
    GONE = "gone"
    ACCOUNT_LEFT = "account left"


@dataclass(frozen=True, slots=True)
class Made:
    """*id*: the CRM's. *status*: an order's, as we left it."""

    id: int
    status: str | None = None


@dataclass(frozen=True, slots=True)
class FollowUp:
    """*call*: the missed one. *account*, *site*: address and store. *mark*: by which it is known there.

    *missed_at*: when he began to call, the last time that it stands for. *made* None: asked for, and not known whether
    it was made.
    """

    call: CallId
    kind: FollowUpKind
    account: str
    site: str | None
    mark: str
    missed_at: datetime
    made: Made | None = None


class FollowUps:
    """*phone* is E.164 everywhere."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def open_of(self, enterprise: EnterpriseId, phone: str) -> FollowUp | None:
        row = await self._pool.fetchrow(SQL["open_follow_up"], enterprise, phone)
        if row is None:
            return None
        return FollowUp(
            CallId(row["call_id"]),
            FollowUpKind(row["kind"]),
            row["account"],
            row["site"],
            row["mark"],
            row["missed_at"],
            None if row["crm_id"] is None else Made(row["crm_id"], row["crm_status"]),
        )

    async def begin(self, enterprise: EnterpriseId, phone: str, one: FollowUp) -> bool:
        """Before the CRM is asked; False when *one*'s call had one already, or *phone* has one open."""
        begun = await self._pool.fetchval(
            SQL["begin_follow_up"],
            enterprise,
            one.call,
            phone,
            one.kind,
            one.account,
            one.site,
            one.mark,
            one.missed_at,
        )
        return begun is not None

    async def made(self, enterprise: EnterpriseId, call: CallId, made: Made) -> None:
        await self._pool.execute(SQL["follow_up_made"], enterprise, call, made.id, made.status)

    async def not_made(self, enterprise: EnterpriseId, call: CallId) -> None:
        await self._pool.execute(SQL["follow_up_not_made"], enterprise, call)

    async def missed_again(self, enterprise: EnterpriseId, call: CallId, at: datetime) -> None:
        """The one of *call* stands for a missed call that began *at*, too."""
        await self._pool.execute(SQL["missed_again"], enterprise, call, at)

    async def close(self, enterprise: EnterpriseId, call: CallId, at: datetime, ending: Ending) -> None:
        await self._pool.execute(SQL["close_follow_up"], enterprise, call, at, ending)

    async def reached_since(self, enterprise: EnterpriseId, phone: str, since: datetime) -> bool:
        """Anybody has talked with *phone* in a conversation that began after *since*, and is over."""
        return bool(await self._pool.fetchval(SQL["reached_since"], enterprise, phone, since))

    async def on_the_line(self, enterprise: EnterpriseId, phone: str, since: datetime) -> bool:
        """A call with *phone* goes on that began after *since*."""
        return bool(await self._pool.fetchval(SQL["on_the_line"], enterprise, phone, since))
