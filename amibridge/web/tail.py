"""What is said of calls, read once for all who listen: an enterprise's newest facts, remembered as they are sent.

Laws: whoever listens pulls, so nobody is waited for and nothing is kept for him; at the tip one question to the
database serves all streams of an enterprise; whoever is further back reads pages of his own, in turn with the others,
and first with those of his enterprise, so that many of one keep another waiting for one page.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from amibridge.calls.announcement import announced
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.facts import Page, WrittenFact, WrittenFacts

log = structlog.get_logger()

REMEMBERED = 200
"""Facts of an enterprise: some 150 kB, while anybody listens."""

AT_ONCE = 2
"""Questions about what is new, of all enterprises: the recorder needs connections, too."""

BREATH = 0.02
"""Seconds after a whole page of what is old: 4,000 facts a second, for a tenth of the process."""

LOOK = timedelta(seconds=5)
"""How often the database is asked though nobody rang: another instance may have written. Also how soon a stream sees
that nobody reads it any more, or that its token is not good any more."""

AGAIN = 1.0
"""Seconds between two tries while the database is away."""


class FactsAway(Exception):
    """The database does not answer: listen on, and ask again later."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact, and the bytes in which it is sent."""

    seq: int
    word: str
    call: CallId
    frame: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """None: whatever it is."""

    words: frozenset[str] | None = None
    call: CallId | None = None

    def fits(self, told: Told) -> bool:
        return (self.words is None or told.word in self.words) and self.call in (None, told.call)


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class News:
    """*to*: the place up to which this tells all that is wanted. *is_last*: there was nothing behind it."""

    told: Sequence[Told]
    to: int
    is_last: bool


def told_of(written: WrittenFact) -> Told:
    said = announced(written.seq, written.fact)
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))  # which has no line break in it
    frame = f"id: {written.seq}\nevent: {said['event']}\ndata: {text}\n\n"
    return Told(written.seq, said["event"], written.fact.call, frame.encode())


class Reading:
    """The way to the facts of all enterprises. What is away is asked by one stream at a time, not by all."""

    def __init__(self, facts: WrittenFacts) -> None:
        self._facts = facts
        self._new, self._old = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)
        self._away_until = 0.0
        self._is_well = True

    async def new(self, enterprise: EnterpriseId, place: int) -> News:
        """Raises FactsAway, as `old` does."""
        self._give_up_if_away()
        async with self._new:
            return _news(await self._page(enterprise, place, EVERYTHING))

    async def old(self, enterprise: EnterpriseId, place: int, wanted: Wanted) -> News:
        self._give_up_if_away()
        async with self._old:
            news = _news(await self._page(enterprise, place, wanted))
            if not news.is_last:
                await asyncio.sleep(BREATH)
            return news

    async def _page(self, enterprise: EnterpriseId, place: int, wanted: Wanted) -> Page:
        self._give_up_if_away()
        try:
            page = await self._facts.after(enterprise, place, call=wanted.call, words=wanted.words)
        except DATABASE_FAILURES as error:
            self._away_until = asyncio.get_running_loop().time() + AGAIN
            if self._is_well:
                log.warning("events_not_read", reason=str(error) or type(error).__name__)
            self._is_well = False
            raise FactsAway from error
        if not self._is_well:
            log.info("events_read_again")
        self._is_well = True
        return page

    def _give_up_if_away(self) -> None:
        if asyncio.get_running_loop().time() < self._away_until:
            raise FactsAway


def _news(page: Page) -> News:
    return News([told_of(one) for one in page.facts], page.to, page.is_last)


class Tail:
    """The newest facts of one enterprise: all behind one place, up to another."""

    def __init__(self, reading: Reading, enterprise: EnterpriseId, place: int) -> None:
        self._reading = reading
        self._enterprise = enterprise
        self._from = self._to = place
        self._told: deque[Told] = deque()
        self._turn, self._old_turn = asyncio.Lock(), asyncio.Lock()
        self._bell = asyncio.Event()
        self._rings, self._heard, self._looked_at = 0, -1, 0.0
        self._is_whole = True

    @property
    def bell(self) -> asyncio.Event:
        """Set at the next ring. To be taken before `after` is asked, or a ring may go unheard."""
        return self._bell

    def ring(self) -> None:
        """There may be something new."""
        self._rings += 1
        self._bell.set()
        self._bell = asyncio.Event()

    async def after(self, place: int, wanted: Wanted = EVERYTHING) -> News:
        """What is wanted behind *place*, some of it at least. Raises FactsAway."""
        if place < self._from:
            seen = self._to
            async with self._old_turn:
                news = await self._reading.old(self._enterprise, place, wanted)
            # What is wanted may have ended long before what was read by others.
            return News(news.told, max(news.to, seen), True) if news.is_last else news
        if place >= self._to:
            async with self._turn:
                if place >= self._to and not self._is_up_to_date():
                    await self._read_on()
        if place < self._from:  # others have read on far, while this one waited for his turn
            return News((), place, False)
        told = [one for one in self._told if one.seq > place and wanted.fits(one)]
        return News(told, max(place, self._to), self._is_whole)

    async def _read_on(self) -> None:
        rings, now = self._rings, asyncio.get_running_loop().time()
        news = await self._reading.new(self._enterprise, self._to)
        self._told.extend(news.told)
        self._to = news.to
        while len(self._told) > REMEMBERED:
            self._from = self._told.popleft().seq
        self._is_whole = news.is_last
        self._heard, self._looked_at = rings, now

    def _is_up_to_date(self) -> bool:
        """As far as anybody rang. Who does not ring is looked for a little sooner than streams wake by themselves."""
        is_fresh = asyncio.get_running_loop().time() - self._looked_at < LOOK.total_seconds() * 0.8
        return self._is_whole and self._heard == self._rings and is_fresh
