"""After a missed call: a task or an order in the CRM, unless somebody reaches the customer, and its end when he is.

Laws: each errand looks at all calls of that number as they are written, so it does not matter which of them it is of;
of a number one follow-up is open at a time, of a call one is ever made; one of which an answer was lost is looked for
before it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from structlog.typing import FilteringBoundLogger

from amibridge.calls.record import CallRecord
from amibridge.delivery.customers import Acquaintance
from amibridge.delivery.errands import NotYet
from amibridge.delivery.judge import Judge
from amibridge.delivery.missed_orders import MissedOrders
from amibridge.delivery.missed_tasks import MissedTasks
from amibridge.delivery.standing import Standing
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.errors import CrmForbids, CrmLockedOut, CrmMissing, CrmNotEnabled, CrmRefused
from amibridge.retailcrm.missed_call import MissedCall
from amibridge.retailcrm.service import RetailCRMService
from amibridge.store.customers import CustomerId, Customers
from amibridge.store.follow_ups import Ending, FollowUp, FollowUpKind, FollowUps, Made

ON_THE_LINE_AGAIN = timedelta(seconds=30)
"""Until it is looked again whether he still rings or talks."""

LONGEST_LIVE = timedelta(hours=2)
"""A call that goes on for longer is no reason to wait: its PBX may be away."""

ZONE_AGAIN = timedelta(seconds=5)
"""Until it is looked again whether the CRM has told its time zone."""

PLAINLY_NOT = (CrmRefused, CrmMissing, CrmForbids, CrmLockedOut, CrmNotEnabled)
"""After these we know that nothing was made."""


class Desk(Protocol):
    """What makes follow-ups of one kind."""

    def mark(self, missed: MissedCall) -> str: ...
    async def make(self, missed: MissedCall) -> Made: ...
    async def find(self, one: FollowUp, enterprise: Enterprise, zone: ZoneInfo) -> Made | None: ...
    async def end(self, one: FollowUp, made: Made, enterprise: Enterprise, *, reached: bool) -> Ending | None: ...


class FollowUpErrand:
    """*zone*: the account's, None as long as it is not known."""

    def __init__(
        self,
        judge: Judge,
        acquaintance: Acquaintance,
        *,
        crm: RetailCrm,
        customers: Customers,
        follow_ups: FollowUps,
        zone: Callable[[], ZoneInfo | None],
        log: FilteringBoundLogger,
    ) -> None:
        self._judge = judge
        self._acquaintance = acquaintance
        self._crm = crm
        self._customers = customers
        self._follow_ups = follow_ups
        self._zone = zone
        self._desks: Mapping[FollowUpKind, Desk] = {
            FollowUpKind.TASK: MissedTasks(crm),
            FollowUpKind.ORDER: MissedOrders(crm),
        }
        self._log = log

    async def do(
        self, record: CallRecord, phone: str, enterprise: Enterprise, standing: Standing, *, heard_at: datetime
    ) -> str:
        """What came of it, for people. Raises NotYet, CrmError, and what the database raises."""
        if record.is_missed and phone in enterprise.missed_calls.never_for:
            return "nothing is made for this number"
        if record.is_missed and self._judge.now() < heard_at + enterprise.missed_calls.wait:
            raise NotYet(heard_at + enterprise.missed_calls.wait, "somebody may reach him meanwhile")
        one = await self._open_of(phone, enterprise, standing)
        if one is not None:
            told = await self._look_after(one, record, phone, enterprise, standing)
            if told is not None:
                return told
        return await self._follow_up(record, phone, enterprise, standing) if record.is_missed else "nothing was open"

    # -- the one that is open

    async def _open_of(self, phone: str, enterprise: Enterprise, standing: Standing) -> FollowUp | None:
        """Of which it is known that the CRM has made it."""
        one = await self._follow_ups.open_of(enterprise.id, phone)
        if one is None:
            return None
        if one.account not in (enterprise.account.url, enterprise.module.moved_from):
            await self._follow_ups.close(enterprise.id, one.call, self._judge.now(), Ending.ACCOUNT_LEFT)
            return None
        if one.made is not None:
            return one
        found = await self._desks[one.kind].find(one, enterprise, self._zone_of(enterprise))
        self._judge.answered(standing)
        if found is None:
            await self._follow_ups.not_made(enterprise.id, one.call)
            return None
        await self._follow_ups.made(enterprise.id, one.call, found)
        self._log.info("follow_up_made", call=one.call, follow_up=one.kind, id=found.id)
        return replace(one, made=found)

    async def _look_after(
        self, one: FollowUp, record: CallRecord, phone: str, enterprise: Enterprise, standing: Standing
    ) -> str | None:
        """What became of it; None if it is over and says nothing of this missed call."""
        assert one.made is not None
        reached = await self._follow_ups.reached_since(enterprise.id, phone, one.missed_at)
        if not reached and not record.is_missed:
            return "nobody has reached him since"
        ending = await self._desks[one.kind].end(one, one.made, enterprise, reached=reached)
        self._judge.answered(standing)
        if ending is None:
            await self._follow_ups.missed_again(enterprise.id, one.call, record.started_at)
            return f"{one.kind} {one.made.id} is open already"
        await self._follow_ups.close(enterprise.id, one.call, self._judge.now(), ending)
        self._log.info("follow_up_closed", call=record.call_id, follow_up=one.kind, id=one.made.id, ending=ending)
        return None if record.is_missed else f"{one.kind} {one.made.id} closed: {ending}"

    # -- a new one

    async def _follow_up(self, record: CallRecord, phone: str, enterprise: Enterprise, standing: Standing) -> str:
        now = self._judge.now()
        # Asked in this order: a call that ends between the two questions is seen by the second.
        talks = await self._follow_ups.on_the_line(enterprise.id, phone, now - LONGEST_LIVE)
        if await self._follow_ups.reached_since(enterprise.id, phone, record.started_at):
            return "somebody has reached him"
        if talks:
            raise NotYet(now + ON_THE_LINE_AGAIN, "a call with him goes on")
        zone = self._zone_of(enterprise)
        known = (await self._acquaintance.make(record, phone, enterprise, standing)).customer
        kind = await self._wanted(record, phone, enterprise, known)
        if kind is None:
            return "nothing is to be made of it"
        customer = None if known is None else await self._read(known, enterprise)
        if customer is not None and customer.bad:
            return f"customer {customer.id} is marked as bad"
        return await self._make(kind, MissedCall(record, phone, enterprise, zone, customer), standing)

    async def _wanted(
        self, record: CallRecord, phone: str, enterprise: Enterprise, known: CustomerId | None
    ) -> FollowUpKind | None:
        is_new = known is None or await self._customers.was_made_for(enterprise.id, phone, record.call_id)
        if is_new and enterprise.create_orders:
            return FollowUpKind.ORDER
        return FollowUpKind.TASK if enterprise.create_tasks else None

    async def _make(self, kind: FollowUpKind, missed: MissedCall, standing: Standing) -> str:
        """Write down that it is asked for, ask for it, and write down what was made."""
        desk, enterprise, call = self._desks[kind], missed.enterprise.id, missed.record.call_id
        account, began = missed.enterprise.account.url, missed.record.started_at
        one = FollowUp(call, kind, account, missed.site, desk.mark(missed), began)
        if not await self._follow_ups.begin(enterprise, missed.phone, one):
            return "made before"
        try:
            made = await desk.make(missed)
        except PLAINLY_NOT:
            await self._follow_ups.not_made(enterprise, call)
            raise
        self._judge.answered(standing)
        await self._follow_ups.made(enterprise, call, made)
        self._log.info("follow_up_made", call=call, follow_up=kind, id=made.id)
        return f"{kind} {made.id}, made"

    async def _read(self, known: CustomerId, enterprise: Enterprise) -> Customer | None:
        """As the CRM has him now; None if it has him no more."""
        try:
            return await RetailCRMService(self._crm, enterprise.account, region=enterprise.region).customer(known)
        except CrmMissing:
            return None

    def _zone_of(self, enterprise: Enterprise) -> ZoneInfo:
        zone = enterprise.time_zone or self._zone()
        if zone is None:
            raise NotYet(self._judge.now() + ZONE_AGAIN, "the CRM has not told its time zone yet")
        return zone
