"""Streams of events: how many there may be, how long one lasts, and what goes down it (WHATWG HTML, 9.2).

Laws: a stream tells each fact behind its place once, in order; its client knows that place from the first line on, so
one that comes again has missed nothing; nothing is told to whom the gate would not let in now; whoever does not read is
left, and costs no memory meanwhile. docs/adr/0034.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from amibridge.enterprises import EnterpriseId
from amibridge.store.facts import WrittenFacts
from amibridge.store.ledger import HeardFact
from amibridge.web.access import Caller
from amibridge.web.answers import Refused
from amibridge.web.tail import AGAIN, LOOK, FactsAway, Reading, Tail, Wanted

OF_TOKEN, OF_ENTERPRISE, OF_ALL = 20, 100, 200
"""At once. A stream is a connection, and half of those are left for what cannot wait."""

LASTS = timedelta(hours=1)
"""Then its client goes on with a new one: what works once an hour works after a restart, too."""

KEEP_ALIVE = timedelta(seconds=15)
"""Proxies leave who says nothing for 30 to 60 seconds."""

READ_WITHIN = timedelta(seconds=30)
"""What was sent; whoever takes longer is gone, and comes again if he is not."""

TOGETHER = 0.05
"""Seconds: what is said so soon after something else goes with what follows it, or a hundred pages would each be
written to for every fact of a busy minute."""

COME_AGAIN = timedelta(seconds=1)

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

TOO_MANY = "Too many streams are open: one is enough for all calls of an enterprise."
NO_SUCH_PLACE = (
    "No event has such an id yet. The database may be an older one: begin without an id, and read the calls."
)


class Streams:
    def __init__(self, facts: WrittenFacts, lasts: timedelta = LASTS) -> None:
        self._facts = facts
        self._lasts = lasts
        self._reading = Reading(facts)
        self._tails: dict[EnterpriseId, Tail] = {}
        self._listening: Counter[tuple[EnterpriseId, str]] = Counter()
        self._ends = asyncio.Event()

    def listening(self) -> Mapping[EnterpriseId, int]:
        """How many streams of each enterprise are open."""
        found: Counter[EnterpriseId] = Counter()
        for (enterprise, _), many in self._listening.items():
            found[enterprise] += many
        return found

    def written(self, heard: Sequence[HeardFact]) -> None:
        """These were just committed. Waits for nobody."""
        for enterprise in {one.enterprise for one in heard} & self._tails.keys():
            self._tails[enterprise].ring()

    async def end(self, _: web.Application) -> None:
        """All that are open; those that are opened later are not concerned."""
        ends, self._ends = self._ends, asyncio.Event()
        ends.set()
        for tail in self._tails.values():
            tail.ring()

    async def open(
        self, caller: Caller, wanted: Wanted, place: int | None, would_admit: Callable[[], bool]
    ) -> web.StreamResponse:
        """Behind *place*, or from now on; the answer to a request. Raises Refused, and any of `DATABASE_FAILURES`."""
        enterprise = caller.enterprise.id
        self._take_seat(enterprise, caller.who)
        with contextlib.ExitStack() as seat:
            seat.callback(self._leave_seat, enterprise, caller.who)
            newest = await self._facts.newest(enterprise)
            if place is not None and place > newest:
                raise Refused(404, "unknown_event", NO_SUCH_PLACE)
            leave = seat.pop_all()
        tail = self._tails.setdefault(enterprise, Tail(self._reading, enterprise, newest))
        ends = self._ends
        place = newest if place is None else place
        return _Stream(tail, wanted, place, self._lasts, lambda: would_admit() and not ends.is_set(), leave)

    def _take_seat(self, enterprise: EnterpriseId, who: str) -> None:
        of_enterprise = self.listening()
        if (
            self._listening[enterprise, who] >= OF_TOKEN
            or of_enterprise.get(enterprise, 0) >= OF_ENTERPRISE
            or self._listening.total() >= OF_ALL
        ):
            raise Refused(429, "too_many_streams", TOO_MANY, {"Retry-After": "5"})
        self._listening[enterprise, who] += 1

    def _leave_seat(self, enterprise: EnterpriseId, who: str) -> None:
        self._listening[enterprise, who] -= 1
        if not self._listening[enterprise, who]:
            del self._listening[enterprise, who]
        if enterprise not in self.listening():
            self._tails.pop(enterprise, None)


class _Stream(web.StreamResponse):
    """*leave*: closed when it is over."""

    def __init__(
        self,
        tail: Tail,
        wanted: Wanted,
        place: int,
        lasts: timedelta,
        goes_on: Callable[[], bool],
        leave: contextlib.ExitStack,
    ) -> None:
        super().__init__(headers=HEADERS)
        self._tail = tail
        self._wanted = wanted
        self._place = self._known = place
        self._lasts = lasts
        self._goes_on = goes_on
        self._leave = leave
        self._spoke_at = 0.0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Until it is over. Raises ConnectionError when nobody reads it."""
        with self._leave:
            writer = await super().prepare(request)
            _notice_who_is_gone(request)
            await self._tell(request)
            return writer

    async def _tell(self, request: web.BaseRequest) -> None:
        clock = asyncio.get_running_loop().time
        over_at = clock() + self._lasts.total_seconds()
        milliseconds = COME_AGAIN // timedelta(milliseconds=1)
        await self._send(request, f"retry: {milliseconds}\nid: {self._place}\n\n".encode())
        while self._goes_on() and clock() < over_at:
            bell, pause = self._tail.bell, min(LOOK.total_seconds(), over_at - clock())
            try:
                is_last = await self._tell_news(request)
            except FactsAway:
                is_last, pause = True, AGAIN
            if not self._goes_on():
                return
            if clock() - self._spoke_at >= KEEP_ALIVE.total_seconds():
                await self._stay(request)
            if is_last:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await bell.wait()
            _look_who_is_gone(request)

    async def _tell_news(self, request: web.BaseRequest) -> bool:
        """Whether that was all for now."""
        news = await self._tail.after(self._place, self._wanted)
        if not self._goes_on():
            return True
        self._place = news.to
        if news.told:
            await self._send(request, b"".join(one.frame for one in news.told))
            self._known = news.told[-1].seq
            if news.is_last:
                await asyncio.sleep(TOGETHER)
        return news.is_last

    async def _stay(self, request: web.BaseRequest) -> None:
        """And the place where the stream is: what is not wanted need not be read again, when its client comes again."""
        place = "" if self._place == self._known else f"id: {self._place}\n"
        await self._send(request, f"{place}: keep-alive\n\n".encode())
        self._known = self._place

    async def _send(self, request: web.BaseRequest, chunk: bytes) -> None:
        self._spoke_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                await self.write(chunk)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionError("nobody reads it") from None


def _look_who_is_gone(request: web.BaseRequest) -> None:
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("he is gone")


def _notice_who_is_gone(request: web.BaseRequest) -> None:
    """Also whoever went without a word, as a telephone without its network: TCP alone takes a quarter of an hour."""
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):  # he is gone already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READ_WITHIN // timedelta(milliseconds=1))
