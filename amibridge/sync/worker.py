"""All CRMs that are followed by this process: one task for each enterprise, which come, change and go with it.

Laws: one that fails is started anew and hurts no other; at the stop all leave at once, for whatever was not written is
read again. Where the CRM has switched our module off, or frozen it, nothing is asked until it says otherwise.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from amibridge.enterprises import Enterprise, EnterpriseId, HistoryStanding
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.triggers import Hint
from amibridge.store.mirror import Mirror
from amibridge.sync.asker import PACE
from amibridge.sync.watcher import EVERY, Watcher

log = structlog.get_logger()

RESTART_FIRST, RESTART_CAP = 1.0, 300.0
"""Seconds before a failed watcher is started anew; doubled while it fails again within ten minutes."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Watchers:
    """*pace*, *every*, *jitter*: as in `Watcher`."""

    def __init__(
        self,
        mirror: Mirror,
        crm: RetailCrm,
        enterprises: Iterable[Enterprise] = (),
        *,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
        pace: timedelta = PACE,
        every: timedelta = EVERY,
    ) -> None:
        self._mirror = mirror
        self._crm = crm
        self._now = now
        self._jitter = jitter
        self._pace = pace
        self._every = every
        self._watchers: dict[EnterpriseId, Watcher] = {}
        self._keepers: dict[EnterpriseId, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._known = _followed(enterprises)

    def enterprises(self, known: Iterable[Enterprise]) -> None:
        """These are all enterprises from now on."""
        self._known = _followed(known)
        for number, keeper in self._keepers.items():
            if number in self._known:
                self._watchers[number].reconfigure(self._known[number])
            else:
                keeper.cancel()
        self._open()

    def hint(self, enterprise: EnterpriseId, hint: Hint) -> None:
        """Something changed in the CRM of *enterprise*; nothing is awaited. Of nobody's CRM is nobody's news."""
        watcher = self._watchers.get(enterprise)
        if watcher is not None:
            watcher.hint(hint)

    def standings(self) -> list[HistoryStanding]:
        """How each history stands of the CRMs that are followed."""
        return [standing for watcher in self._watchers.values() for standing in watcher.standings()]

    def forget_zone(self, enterprise: EnterpriseId) -> None:
        """The account's settings were changed: its time zone is asked anew."""
        watcher = self._watchers.get(enterprise)
        if watcher is not None:
            watcher.forget_zone()

    async def run(self, stop: asyncio.Event) -> None:
        """Until *stop*."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._open()
                await stop.wait()
            finally:
                self._tasks = None
                for keeper in self._keepers.values():
                    keeper.cancel()

    def _open(self) -> None:
        if self._tasks is None:
            return
        for number, enterprise in self._known.items():
            if number not in self._keepers:
                self._watchers[number] = Watcher(
                    enterprise,
                    crm=self._crm,
                    mirror=self._mirror,
                    now=self._now,
                    jitter=self._jitter,
                    pace=self._pace,
                    every=self._every,
                )
                keeper = self._tasks.create_task(_keep(number, self._watchers[number]), name=f"sync {number}")
                self._keepers[number] = keeper
                keeper.add_done_callback(partial(self._left, number))

    def _left(self, number: EnterpriseId, keeper: asyncio.Task[None]) -> None:
        del self._watchers[number], self._keepers[number]
        self._open()  # an enterprise that was removed may be back by now


def _followed(enterprises: Iterable[Enterprise]) -> dict[EnterpriseId, Enterprise]:
    return {enterprise.id: enterprise for enterprise in enterprises if enterprise.module.works}


async def _keep(number: EnterpriseId, watcher: Watcher) -> None:
    clock = asyncio.get_running_loop().time
    failures = 0
    while True:
        begun = clock()
        try:
            await watcher.run()
        except Exception as error:
            failures = failures + 1 if clock() - begun < 600 else 1
            wait = min(RESTART_CAP, RESTART_FIRST * 2 ** min(failures - 1, 10))
            log.error("sync_failed", enterprise=number, again_in=wait, exc_info=error)
            await asyncio.sleep(wait)
