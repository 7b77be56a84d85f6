"""All lanes of this process: rows come in from the recorder, lanes tell the CRMs, verdicts go back into the table.

Laws: a lane that fails is started anew from the table and hurts no other; lanes follow the enterprises as they change;
at the stop nothing new is sent, what is in flight is answered or stays due, and every verdict is written.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import structlog

from amibridge.calls.record import CallRecord
from amibridge.delivery.lane import Lane
from amibridge.delivery.lanes import Lanes
from amibridge.delivery.settlements import Settlements
from amibridge.delivery.standing import Mood
from amibridge.delivery.teller import RecordUrl
from amibridge.enterprises import CrmStanding, Enterprise, EnterpriseId
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from amibridge.store.outbox import Delivery, Outbox, Settlement

log = structlog.get_logger()

READERS = 2
"""Lanes that read the table at once: after a start with many enterprises the recorder needs connections, too."""

FLUSH = 1.0
"""Seconds for the last verdicts at the stop."""


def no_record_url(enterprise: Enterprise, record: CallRecord) -> str | None:
    return None


def utc_now() -> datetime:
    return datetime.now(UTC)


class Deliveries:
    """*record_url*: where the CRM can listen to a call, None if nowhere. *jitter*: a number from [0, 1)."""

    def __init__(
        self,
        outbox: Outbox,
        crm: RetailCrm,
        customers: Customers,
        follow_ups: FollowUps,
        enterprises: Iterable[Enterprise] = (),
        *,
        record_url: RecordUrl = no_record_url,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._crm = crm
        self._customers = customers
        self._follow_ups = follow_ups
        self._enterprises = {enterprise.id: enterprise for enterprise in enterprises}
        self._record_url = record_url
        self._now = now
        self._jitter = jitter
        self._settlements = Settlements(outbox.settle, self._written)
        self._lanes: Lanes[EnterpriseId, Lane] = Lanes(self._lane, "lane {}".format, _failed)
        self._lanes.want(self._enterprises)
        self._reading = asyncio.Semaphore(READERS)

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Rows just committed, of which those for CRMs are taken. Rows nobody can take now stay due and are read when
        somebody can."""
        by_enterprise: defaultdict[EnterpriseId, list[Delivery]] = defaultdict(list)
        for delivery in (one for one in deliveries if not one.webhook):
            by_enterprise[delivery.enterprise].append(delivery)
        for enterprise, rows in by_enterprise.items():
            lane = self._lanes.get(enterprise)
            if lane is not None:
                lane.offer(rows)

    def standings(self) -> list[CrmStanding]:
        """How each CRM stands that is told something."""
        return [lane.crm_standing() for _, lane in self._lanes]

    def may_ask(self, number: EnterpriseId) -> bool:
        """Whether others may ask that CRM something: not while the account is paused, or nobody knows how it stands."""
        lane = self._lanes.get(number)
        return lane is not None and lane.crm_standing().state != Mood.PAUSED

    def zone_of(self, enterprise: Enterprise) -> ZoneInfo | None:
        """In which the account writes its dates; None as long as nobody has configured or told it."""
        lane = self._lanes.get(enterprise.id)
        return enterprise.time_zone or (None if lane is None else lane.zone)

    def forget_zone(self, number: EnterpriseId) -> None:
        """The account's settings were changed: its time zone is asked anew."""
        if (lane := self._lanes.get(number)) is not None:
            lane.forget_zone()

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on: lanes are opened, told of changes, or closed."""
        self._enterprises = {enterprise.id: enterprise for enterprise in known}
        for number, lane in self._lanes:
            if (enterprise := self._enterprises.get(number)) is not None:
                lane.reconfigure(enterprise)
        self._lanes.want(self._enterprises)

    async def run(self, stop: asyncio.Event) -> None:
        """Until *stop*, and then at most `lane.GRACE` and `FLUSH`."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._settlements.run(), name="settlements")
            await self._lanes.run(stop)
            self._settlements.close()
            _, late = await asyncio.wait({writing}, timeout=FLUSH)
            if late:
                log.error("settlements_left", rows=len(self._settlements.unwritten()), advice="they will be sent again")
                writing.cancel()

    def _lane(self, number: EnterpriseId) -> Lane:
        enterprise = self._enterprises[number]

        async def read_due(after: int, limit: int) -> list[Delivery]:
            async with self._reading:
                return await self._outbox.load_due(enterprise.id, after=after, limit=limit)

        return Lane(
            enterprise,
            crm=self._crm,
            read_due=read_due,
            unwritten=self._settlements.unwritten(enterprise.id),
            settle=self._settlements.put,
            record_url=self._record_url,
            customers=self._customers,
            follow_ups=self._follow_ups,
            now=self._now,
            jitter=self._jitter,
        )

    def _written(self, settlements: Sequence[Settlement]) -> None:
        by_enterprise: defaultdict[EnterpriseId, list[int]] = defaultdict(list)
        for settlement in settlements:
            by_enterprise[settlement.enterprise].append(settlement.id)
        for enterprise, ids in by_enterprise.items():
            lane = self._lanes.get(enterprise)
            if lane is not None:
                lane.written(ids)


def _failed(number: EnterpriseId, again_in: float, error: Exception) -> None:
    log.error("lane_failed", enterprise=number, again_in=again_in, exc_info=error)
