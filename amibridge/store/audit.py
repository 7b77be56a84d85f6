"""The audit: who did what over HTTP, on what, and how it ended, as rows.

Laws: whoever notes something does not wait for it to be written; what waits is bounded, and while there is no room
nothing that must be noted is done (`has_room`); a row is only lost with the process, and then it is said how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import asyncpg
import structlog

from amibridge.enterprises import EnterpriseId
from amibridge.store.codec import storable
from amibridge.store.db import DATABASE_FAILURES, load_queries

log = structlog.get_logger()

SQL = load_queries(__file__)

ROOM = 10_000
"""Rows that may wait while the database is away: some megabytes."""

BATCH = 500
GATHER = timedelta(milliseconds=100)
"""That a row waits for others: at hundreds of questions a second, each would otherwise have a commit of its own."""
AGAIN = timedelta(seconds=1)

LONGEST = 500
"""Letters of a text that somebody outside had a hand in."""

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """*who*: ``token 3``, ``client_id``, ``retailcrm``, ``command line``; never what opens anything. *request*: the id
    in the answer and in the log."""

    enterprise: EnterpriseId
    at: datetime
    who: str
    address: str
    action: str
    target: str
    outcome: str
    request: str = ""


class AuditTrail:
    def __init__(self, pool: asyncpg.Pool, room: int = ROOM) -> None:
        self._pool = pool
        self._room = room
        self._rows: deque[AuditRow] = deque()
        self._stirred = asyncio.Event()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def has_room(self) -> bool:
        return len(self._rows) < self._room

    def note(self, row: AuditRow) -> None:
        """Never waits, never refuses."""
        self._rows.append(row)
        self._stirred.set()

    async def write(self, stop: asyncio.Event) -> None:
        """Write what is noted, until *stop* is set and all is written; whoever cancels it loses the rest."""
        try:
            async with asyncio.TaskGroup() as tasks:
                stopping = tasks.create_task(self._stir_at(stop), name="audit stop")
                written = True
                while self._rows or not stop.is_set():
                    if not self._rows:
                        self._stirred.clear()
                        await self._stirred.wait()
                        await asyncio.wait({stopping}, timeout=GATHER.total_seconds())
                        continue
                    try:
                        count = await self._write_some()
                    except DATABASE_FAILURES as error:
                        if written:
                            log.error("audit_not_written", reason=str(error) or type(error).__name__)
                        written = False
                        await asyncio.sleep(AGAIN.total_seconds())
                    else:
                        for _ in range(count):
                            self._rows.popleft()
                        if not written:
                            log.info("audit_written_again")
                        written = True
        finally:
            if self._rows and stop.is_set():
                log.error("audit_rows_lost", rows=len(self._rows))

    async def _write_some(self) -> int:
        rows = list(islice(self._rows, BATCH))
        await self._pool.execute(SQL["record_audit"], *columns(rows))
        return len(rows)

    async def _stir_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stirred.set()


def columns(rows: Sequence[AuditRow]) -> tuple[Sequence[object], ...]:
    """The arguments of `record_audit`."""
    return (
        [row.enterprise for row in rows],
        [row.at for row in rows],
        *(
            [_short(getattr(row, name)) for row in rows]
            for name in ("who", "address", "action", "target", "outcome", "request")
        ),
    )


def _short(text: str) -> str:
    return storable(text.encode("utf-8", "replace").decode()[:LONGEST])
