"""One enterprise's way to its CRM: plan, start what is due, wait, until closed.

Laws: one lane sends for one enterprise, and nothing that one CRM does slows another's lane; a request that was cut
off leaves its rows due. What a bug breaks here, the owner of the lane starts anew from the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, assert_never
from zoneinfo import ZoneInfo

import structlog

from amibridge.delivery.courier import Courier
from amibridge.delivery.customers import Acquaintance
from amibridge.delivery.follow_ups import FollowUpErrand
from amibridge.delivery.judge import Judge
from amibridge.delivery.plan import DROPS_AT_ONCE, History, Popup
from amibridge.delivery.rights import KeyRights
from amibridge.delivery.standing import Mood
from amibridge.delivery.stock import Stock
from amibridge.delivery.teller import RecordUrl, Teller
from amibridge.delivery.zone import AccountZone
from amibridge.enterprises import CrmStanding, Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.exchange import Occasion
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from amibridge.store.outbox import Delivery, Settlement

POPUPS_IN_FLIGHT = 6
"""At 150 ms to the CRM and back enough for its 40 requests/s, and few enough for fresh news to overtake history."""

GRACE = timedelta(seconds=4)
"""For requests in flight when the lane closes; the whole daemon has 10 s."""

SWEEP_EVERY = timedelta(minutes=1)
"""While nothing may be sent, popups that are news no more are dropped this often."""

HALVED = "halved"
"""What became of rows about which nothing was written, though the CRM was asked: they are sent again in two halves."""

READ_AGAIN_AFTER = timedelta(seconds=2)
"""After a reading of the table that failed."""


class Lane:
    """*read_due*, *unwritten*: as in `Stock`. *settle*: takes verdicts to be written soon."""

    def __init__(
        self,
        enterprise: Enterprise,
        *,
        crm: RetailCrm,
        read_due: Callable[[int, int], Awaitable[list[Delivery]]],
        unwritten: Iterable[int],
        settle: Callable[[Sequence[Settlement]], None],
        record_url: RecordUrl,
        customers: Customers,
        follow_ups: FollowUps,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._log = structlog.get_logger(enterprise=enterprise.id)
        self._stock = Stock(read_due, unwritten)
        self._judge = Judge(enterprise, settle=settle, now=now, jitter=jitter, log=self._log)
        self._teller = Teller(self._judge, self._stock.agenda, crm=crm, record_url=record_url, log=self._log)
        self._zone = AccountZone(enterprise.account, self._log)
        acquaintance = Acquaintance(self._judge, crm=crm, customers=customers, log=self._log)
        follow_up = FollowUpErrand(
            self._judge,
            acquaintance,
            crm=crm,
            customers=customers,
            follow_ups=follow_ups,
            zone=lambda: self._zone.zone,
            log=self._log,
        )
        self._courier = Courier(self._judge, self._stock.errands, acquaintance, follow_up, self._log)
        self._rights = KeyRights(self._log)
        self._crm = crm
        self._now = now
        self._jitter = jitter
        self._awake = asyncio.Event()
        self._closing = False
        self._unreadable = False
        self._popups: set[asyncio.Task[None]] = set()
        self._history: asyncio.Task[None] | None = None
        self._errand: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asking_rights: asyncio.Task[None] | None = None

    def crm_standing(self) -> CrmStanding:
        return replace(self._judge.crm_standing(), answers=self._crm.answers(self._judge.enterprise.account))

    def offer(self, rows: Iterable[Delivery]) -> None:
        """Take rows just committed; after `close` they are left to the next start."""
        if not self._closing:
            self._stock.offer(rows)
            self._awake.set()

    def written(self, ids: Iterable[int]) -> None:
        """These rows are done in the table, too."""
        self._stock.written(ids)

    def reconfigure(self, enterprise: Enterprise) -> None:
        known = self._judge.enterprise
        if enterprise.account != known.account:
            self._zone = AccountZone(enterprise.account, self._log)
            self._rights = KeyRights(self._log)
        if (enterprise.account, enterprise.operators) != (known.account, known.operators):
            self._teller.forget_unknown()
        self._judge.reconfigure(enterprise)
        self._awake.set()

    @property
    def zone(self) -> ZoneInfo | None:
        """As the account told it."""
        return self._zone.zone

    def forget_zone(self) -> None:
        """The account's settings were changed: history waits until it has told its time zone anew."""
        self._zone = AccountZone(self._judge.enterprise.account, self._log)
        self._awake.set()

    def close(self) -> None:
        """Start nothing new: `run` ends when what is in flight is answered, or its grace is over."""
        self._closing = True
        self._awake.set()

    async def run(self) -> None:
        """Once. Rows offered before the first reading wait for it: a call's order is by id."""
        async with asyncio.TaskGroup() as tasks:
            reading: asyncio.Task[None] | None = None
            while not self._closing:
                self._awake.clear()
                now = self._now()
                if not _busy(reading) and self._stock.wants_reread(now):
                    reading = self._spawn(tasks, "reading", self._read(now))
                wake_at = self._start_due(tasks, now) if self._stock.complete else None
                rights_at = self._ask_rights(tasks, now)
                await self._sleep(now, wake_at, rights_at, None if _busy(reading) else self._reread_at(now))
            if reading is not None:
                reading.cancel()
            await self._finish()

    async def _read(self, now: datetime) -> None:
        try:
            await self._stock.reread(now)
        except Exception as error:
            # Whatever ails the table must not stop what is in memory.
            if not self._unreadable:
                self._unreadable = True
                self._log.error("deliveries_unreadable", reason=str(error) or type(error).__name__)
            self._stock.reread_at = now + READ_AGAIN_AFTER
        else:
            if self._unreadable:
                self._unreadable = False
                self._log.info("deliveries_readable_again")

    def _reread_at(self, now: datetime) -> datetime | None:
        """None when it is late already: then it waits for room, not for time."""
        at = self._stock.reread_at
        return at if at is not None and at > now else None

    def _start_due(self, tasks: asyncio.TaskGroup, now: datetime) -> datetime | None:
        standing, agenda = self._judge.standing, self._stock.agenda
        if standing.held:
            return self._sweep(now)
        room = standing.room(
            now,
            popups_in_flight=len(self._popups),
            popups_max=POPUPS_IN_FLIGHT,
            history_in_flight=_busy(self._history),
            errand_in_flight=_busy(self._errand),
        )
        zone = self._judge.enterprise.time_zone or self._zone.zone
        ask_at = None
        waits_for_it = agenda.history or self._stock.errands.waiting
        if zone is None and waits_for_it and room.history and not _busy(self._asking):
            ask_at = self._zone.ask_at
            if ask_at is None or ask_at <= now:
                failed = partial(self._judge.fail_beside, standing=standing)
                self._asking = self._spawn(
                    tasks, "time zone", self._zone.ask(self._crm, self._now, self._jitter, failed)
                )
                ask_at = None
        plan = agenda.plan(now, popup_slots=room.popups, history_slot=room.history and zone is not None)
        for dropped in plan.dropped:
            self._teller.drop(dropped.row, dropped.why)
        for send in plan.sends:
            match send:
                case Popup():
                    popup = self._spawn(tasks, "popup", self._teller.tell(send), send.rows)
                    self._popups.add(popup)
                    popup.add_done_callback(self._popups.discard)
                case History():
                    assert zone is not None
                    self._history = self._spawn(tasks, "history", self._teller.upload(send, zone), send.rows)
                case _ as never:
                    assert_never(never)
        if room.errand and (plan.sends == () or standing.mood is not Mood.PAUSED):
            errand = self._stock.errands.begin(now)
            if errand is not None:
                self._errand = self._spawn(tasks, "errand", self._courier.see_to(errand), [errand])
        errands_at = self._stock.errands.wake_at() if room.errand else None
        return min(
            (at for at in (plan.wake_at, standing.wake_at(now), ask_at, errands_at) if at is not None), default=None
        )

    def _sweep(self, now: datetime) -> datetime | None:
        """Nothing may be sent: what grows stale meanwhile is dropped, all else waits."""
        dropped = self._stock.agenda.sweep(now)
        for one in dropped:
            self._teller.drop(one.row, one.why)
        if not self._stock.agenda.popups:
            return None
        return now if len(dropped) >= DROPS_AT_ONCE else now + SWEEP_EVERY

    def _ask_rights(self, tasks: asyncio.TaskGroup, now: datetime) -> datetime | None:
        if self._judge.standing.held or _busy(self._asking_rights):
            return None
        at = self._rights.ask_at
        if at is not None and at > now:
            return at
        work = self._rights.ask(self._crm, self._judge.enterprise, self._now)
        self._asking_rights = self._spawn(tasks, "rights", work)
        return None

    def _spawn(
        self, tasks: asyncio.TaskGroup, what: str, work: Coroutine[Any, Any, None], rows: Sequence[Delivery] = ()
    ) -> asyncio.Task[None]:
        task = tasks.create_task(_whole(work, rows), name=f"{what} of {self._judge.enterprise.id}")
        task.add_done_callback(lambda _: self._awake.set())
        return task

    async def _sleep(self, now: datetime, *until: datetime | None) -> None:
        wake_at = min((at for at in until if at is not None), default=None)
        seconds = None if wake_at is None else max(0.0, (wake_at - now).total_seconds())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._awake.wait()

    async def _finish(self) -> None:
        asking = [task for task in (self._asking, self._asking_rights) if task is not None]
        in_flight = {task for task in (*self._popups, self._history, self._errand, *asking) if task is not None}
        for task in asking:
            task.cancel()
        if in_flight:
            _, late = await asyncio.wait(in_flight, timeout=GRACE.total_seconds())
            for task in late:
                task.cancel()
        if self._stock.waiting:
            self._log.info("deliveries_left_for_next_start", rows=self._stock.waiting)


async def _whole(work: Coroutine[Any, Any, None], rows: Sequence[Delivery]) -> None:
    """*work* on the occasion of *rows*, which are to be told."""
    told = Occasion(
        tuple(dict.fromkeys(row.call for row in rows)),
        tuple(row.id for row in rows),
        1 + max((row.attempts for row in rows), default=0),
    )
    try:
        with told.surrounding():
            await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Somebody cancelled a future deep in a library. To the group that would be an orderly end, with rows astray.
        raise RuntimeError("a request was cancelled by nobody in charge") from error
    if rows and told.last is not None and told.last.verdict is None:
        told.decided(HALVED, len(rows), None)


def _busy(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()
