"""Writes verdicts into the table: what gathered while the last commit ran goes with the next.

Laws: a verdict is written or still here, whatever happens to the database; of several verdicts on a row the newest
is written; the others hear of a row only when it is done in the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

import structlog

from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import DeliveryStatus, Settlement

log = structlog.get_logger()

BATCH = 1_000
"""Rows in one statement."""

BACKOFF_FIRST, BACKOFF_CAP = 0.2, 5.0
"""Seconds between tries while the database is away."""

Row: TypeAlias = tuple[EnterpriseId, int]


class Settlements:
    """*write*: one statement for all. *written*: told which rows are done in the table."""

    def __init__(
        self,
        write: Callable[[Sequence[Settlement]], Awaitable[None]],
        written: Callable[[Sequence[Settlement]], None],
    ) -> None:
        self._write = write
        self._written = written
        self._waiting: dict[Row, Settlement] = {}
        self._some = asyncio.Event()
        self._closed = False

    def put(self, settlements: Iterable[Settlement]) -> None:
        for settlement in settlements:
            self._waiting[settlement.enterprise, settlement.id] = settlement
        self._some.set()

    def close(self) -> None:
        """`run` ends when everything is written."""
        self._closed = True
        self._some.set()

    def unwritten(self, enterprise: EnterpriseId | None = None) -> set[int]:
        """Rows that are done, yet still due in the table."""
        return {
            row.id
            for row in self._waiting.values()
            if _final(row) and (enterprise is None or row.enterprise == enterprise)
        }

    async def run(self) -> None:
        failures = 0
        while True:
            if not self._waiting:
                if self._closed:
                    return
                self._some.clear()
                await self._some.wait()
                continue
            batch = dict(islice(self._waiting.items(), BATCH))
            try:
                await self._write(tuple(batch.values()))
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                failures += 1
                if failures == 1:
                    log.error("settlements_wait", rows=len(self._waiting), reason=str(error) or type(error).__name__)
                await asyncio.sleep(min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** min(failures - 1, 10)))
                continue
            if failures:
                log.info("settlements_written_again", tries=failures + 1)
                failures = 0
            for row, settlement in batch.items():
                # A newer verdict, put in while this one was written, stays.
                if self._waiting.get(row) is settlement:
                    del self._waiting[row]
            self._written([settlement for settlement in batch.values() if _final(settlement)])


def _final(settlement: Settlement) -> bool:
    return settlement.status is not DeliveryStatus.DUE
