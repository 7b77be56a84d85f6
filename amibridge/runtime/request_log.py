"""From the client's tap into the ledger of requests: what gathered in a moment is masked and written together.

Laws: whoever asks the CRM never waits for this and never hears of its failures; what waits is bounded, the oldest goes
first, is counted, and that is said once; a request that PostgreSQL will not take holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import structlog

from amibridge.retailcrm.exchange import Exchange
from amibridge.retailcrm.masking import masked_address, masked_body, masked_fields
from amibridge.store.db import AWAY
from amibridge.store.requests import CrmRequest

log = structlog.get_logger()

MOST_WAITING = 5_000
"""Requests, of ten kilobytes at most: five minutes of what all enterprises ask in a busy hour."""

GATHERED = 0.25
"""Seconds from the first request to the batch: its verdict is known by then, and the table is written rarely."""

BATCH = 200
AT_ONCE = 8
"""Masked in one go: a fraction of a millisecond, which no popup feels."""

PAUSE_FIRST, PAUSE_CAP = 0.5, 10.0
"""Seconds between tries while the database is away."""


Write: TypeAlias = Callable[[Sequence[CrmRequest]], Awaitable[None]]
"""One statement for all. Raises what a database raises."""


class RequestLog:
    def __init__(self, *, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: deque[Exchange] = deque()
        self._some, self._closed = asyncio.Event(), asyncio.Event()
        self._lost = 0
        self._failing = False

    def hear(self, exchange: Exchange) -> None:
        """The client's tap. Nobody's requests, and those that brought no news, are not kept."""
        if exchange.enterprise is None or not exchange.news:
            return
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(exchange)
        self._some.set()

    def close(self) -> None:
        """`run` ends when all that was heard is written, or cannot be."""
        self._closed.set()
        self._some.set()

    async def run(self, write: Write) -> None:
        while await self._gathered():
            rows = []
            for number in range(min(BATCH, len(self._waiting))):
                rows.append(row_of(self._waiting.popleft()))
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            await self._in_the_end(write, rows)

    async def _gathered(self) -> bool:
        """Wait until there is something, and what comes right after it; False once closed and empty."""
        while not self._waiting:
            if self._closed.is_set():
                return False
            self._some.clear()
            await self._some.wait()
        if len(self._waiting) < BATCH:
            await self._pause(GATHERED)
        return True

    async def _in_the_end(self, write: Write, rows: Sequence[CrmRequest]) -> None:
        pause = PAUSE_FIRST
        while True:
            try:
                await write(rows)
            except AWAY as error:
                self._fails(error)
                if self._closed.is_set():
                    self._lost += len(rows)
                    return
                await self._pause(pause)
                pause = min(PAUSE_CAP, pause * 2)
            except Exception as error:
                if len(rows) == 1:
                    self._lost += 1
                    self._fails(error)
                    return
                for row in rows:
                    await self._in_the_end(write, [row])
                return
            else:
                self._works()
                return

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    def _fails(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            log.warning("crm_requests_not_recorded", reason=str(error) or type(error).__name__)

    def _works(self) -> None:
        if self._failing or self._lost:
            log.info("crm_requests_recorded_again", lost=self._lost)
            self._failing, self._lost = False, 0


def row_of(exchange: Exchange) -> CrmRequest:
    """As it is kept: masked and bounded."""
    assert exchange.enterprise is not None
    occasion = exchange.occasion
    return CrmRequest(
        enterprise=exchange.enterprise,
        at=exchange.began,
        verb=exchange.method,
        address=masked_address(exchange.address),
        calls=occasion.calls,
        deliveries=occasion.deliveries,
        attempt=occasion.attempt,
        status=exchange.status,
        took=exchange.took,
        failure=exchange.failure,
        verdict=exchange.verdict,
        next_attempt_at=exchange.next_attempt_at,
        request=masked_fields(exchange.sent.decode("ascii", "replace")),
        answer=masked_body(exchange.heard),
    )
