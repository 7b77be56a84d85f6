"""One enterprise's CRM, followed: when to ask, what hints change about that, and what an operator must know.

Laws: a hint is fetched at once and believed in nothing; without hints the histories are read every few minutes; what
one history lacks does not stop the other; a CRM that is away or refuses us is asked rarely, and said once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from amibridge.enterprises import Enterprise, HistoryStanding
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.errors import CrmError, CrmForbids, CrmRefused
from amibridge.retailcrm.requests import credentials, settings
from amibridge.retailcrm.triggers import Hint, Subject
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.mirror import History, Mirror, Overtaken, Place
from amibridge.sync.asker import AT_ONCE, PACE, Asker
from amibridge.sync.followed import FOLLOWED, Context, Followed
from amibridge.sync.patience import CONCERNS, Concerns, Patience
from amibridge.sync.walk import walk_page

EVERY = timedelta(minutes=5)
"""RetailCRM's own advice, at its quicker end: what a lost hint costs."""

SOON = 1.0
"""Seconds from a hint to a reading of the histories; others that come meanwhile are served by the same."""

FIRST_WITHIN = 5.0
"""Seconds over which the first readings of all enterprises are spread at a start."""

MOST_HINTS = 1000
"""Of one history. More are forgotten, for its next reading finds them."""

PAGES_AT_ONCE = 10
"""Of one history, before the other has its turn."""

SPEAKS_OF = {Subject.CUSTOMER: History.CUSTOMERS, Subject.ORDER: History.ORDERS}


@dataclass(slots=True)
class _Line:
    """One history. *due*: it is to be read. *unseen*: there may be something that it does not tell.

    *read_at*: the last time that it could be. *said*: the log says that it is not followed.
    """

    history: History
    patience: Patience = field(default_factory=Patience)
    hinted: dict[int, None] = field(default_factory=dict)
    due: bool = True
    unseen: bool = True
    read_at: datetime | None = None
    said: bool = False
    followed: Followed | None = None

    @property
    def wants(self) -> bool:
        return bool(self.due or self.unseen or self.hinted)


def _filed(enterprise: Enterprise) -> str:
    """What tells the account from another: its address in the enterprise's file, wherever the CRM says it moved to."""
    return enterprise.module.moved_from or enterprise.account.url


def _asked_with(enterprise: Enterprise) -> tuple[object, ...]:
    return enterprise.account, _filed(enterprise), enterprise.time_zone, enterprise.region


class Watcher:
    """*pace*: between two questions. *jitter*: a number from [0, 1)."""

    def __init__(
        self,
        enterprise: Enterprise,
        *,
        crm: RetailCrm,
        mirror: Mirror,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        pace: timedelta = PACE,
        every: timedelta = EVERY,
    ) -> None:
        self._enterprise = enterprise
        self._crm = crm
        self._mirror = mirror
        self._now = now
        self._jitter = jitter
        self._pace = pace
        self._every = every.total_seconds()
        self._log = structlog.get_logger(enterprise=enterprise.id)
        self._lines = [_Line(history) for history in History]
        self._context: Context | None = None
        self._settings = 0
        self._is_new = True
        self._zone_is_old = False
        self._poll_at = 0.0
        self._bell = asyncio.Event()

    def reconfigure(self, enterprise: Enterprise) -> None:
        """Another key, address, time zone or region is a new beginning, as soon as what is under way is over."""
        known, self._enterprise = self._enterprise, enterprise
        if _asked_with(enterprise) != _asked_with(known):
            self._settings += 1
            self._is_new = True
            for line in self._lines:
                line.patience.hurry()
                line.read_at = None
            self.forget_zone()

    def forget_zone(self) -> None:
        """The account's settings were changed: its time zone is asked anew, if we have to ask."""
        self._context, self._zone_is_old = None, True
        for line in self._lines:
            line.due = True
        self._bell.set()

    def hint(self, hint: Hint) -> None:
        """Somebody says that something changed."""
        if hint.subject is not None and hint.id is not None:
            hinted = next(line.hinted for line in self._lines if line.history is SPEAKS_OF[hint.subject])
            if len(hinted) < MOST_HINTS:
                hinted[hint.id] = None
        self._poll_at = min(self._poll_at, asyncio.get_running_loop().time() + SOON)
        self._bell.set()

    def standings(self) -> list[HistoryStanding]:
        return [
            HistoryStanding(self._enterprise.id, line.history, line.read_at, line.patience.reason)
            for line in self._lines
        ]

    async def run(self) -> None:
        """Until cancelled, and what is cancelled is as good as never begun."""
        clock = asyncio.get_running_loop().time
        self._poll_at = clock() + FIRST_WITHIN * self._jitter()
        for line in self._lines:
            line.due = line.unseen = False
        while True:
            await self._sleep()
            if clock() >= self._poll_at:
                self._poll_at = clock() + self._every * (0.9 + 0.2 * self._jitter())
                for line in self._lines:
                    line.due = line.unseen = True
            await self._turn()
            self._announce()

    async def _sleep(self) -> None:
        now = asyncio.get_running_loop().time()
        wake_at = min([self._poll_at, *(line.patience.closed_till for line in self._lines if line.wants)])
        if wake_at > now:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(wake_at):
                    await self._bell.wait()
        self._bell.clear()

    async def _turn(self) -> None:
        clock = asyncio.get_running_loop().time
        for line in self._lines:
            if not line.wants or clock() < line.patience.closed_till:
                continue
            asked_with = self._settings
            try:
                context = self._context or await self._begin()
                assert line.followed is not None
                await self._follow(line, line.followed, context)
            except Overtaken as error:
                self._context = None
                line.patience.failed(error, clock(), self._jitter())
            except (CrmError, *DATABASE_FAILURES) as error:
                if self._settings != asked_with:
                    continue  # it says nothing of the account as it is now
                alone = isinstance(error, CrmError) and CONCERNS[type(error)][0] is Concerns.HISTORY
                for one in [line] if alone and self._context is not None else self._lines:
                    one.patience.failed(error, clock(), self._jitter())
            else:
                line.patience.answered()

    async def _begin(self) -> Context:
        """Raises CrmError: also what concerns one history alone concerns both here."""
        enterprise, asked_with, is_new = self._enterprise, self._settings, self._is_new
        self._zone_is_old = False
        asker = Asker(self._crm, enterprise.account, self._log, self._pace)
        zone = enterprise.time_zone
        if zone is None:
            try:
                zone = (await asker.ask(settings())).time_zone
            except (CrmForbids, CrmRefused) as error:
                raise CrmForbids(f"set `timezone`, or let the key read the CRM's settings: {error}") from error
        context = Context(asker, self._mirror, zone, enterprise.region, self._now, self._log)
        account, before = _filed(enterprise), await self._mirror.account(enterprise.id)
        if not is_new:
            before = None  # the file names another account: we shall hear of it
        elif before not in (None, account):
            await asker.ask(credentials())  # what is known of the old one is forgotten when the new one lets us in
        for line in self._lines:
            place = Place(enterprise.id, account, line.history)
            await self._mirror.begin(place, self._now(), instead_of=before)
            line.followed = FOLLOWED[line.history](context, place)
        if self._settings == asked_with and not self._zone_is_old:
            self._context, self._is_new = context, False
        return context

    async def _follow(self, line: _Line, followed: Followed, context: Context) -> None:
        """A piece of what *line* wants: what was hinted at, then its history, then the rest."""
        if line.hinted:
            ids = list(line.hinted)[:AT_ONCE]
            for one in ids:
                del line.hinted[one]
            await followed.fetch(ids)
        if line.due:
            for _ in range(PAGES_AT_ONCE):
                more = await walk_page(followed, context)
                line.read_at = self._now()
                if not more:
                    line.due = False
                    break
        elif line.unseen:
            line.unseen = await followed.look_around()

    def _announce(self) -> None:
        lost = [line for line in self._lines if line.patience.reason is not None and not line.said]
        for reason in dict.fromkeys(line.patience.reason for line in lost):
            what = ", ".join(line.history for line in lost if line.patience.reason == reason)
            self._log.warning("crm_not_followed", what=what, reason=reason)
        found = [line for line in self._lines if line.patience.reason is None and line.said]
        if found:
            self._log.info("crm_followed_again", what=", ".join(line.history for line in found))
        for line in self._lines:
            line.said = line.patience.reason is not None
