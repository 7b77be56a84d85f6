"""A recorder at work, and what it wrote and handed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from amibridge.calls.facts import AnyFact
from amibridge.store.ledger import Ledger
from amibridge.store.outbox import Delivery
from amibridge.store.recorder import DISK_PATIENCE, FactQueue, record
from tests.delivery.rows import rang
from tests.delivery.waiting import until
from tests.store.said import heard


class Recorder:
    """`record` at work on a queue, and what it handed over."""

    def __init__(self, ledger: Ledger, patience: timedelta = DISK_PATIENCE) -> None:
        self.queue = FactQueue()
        self.handed: list[Delivery] = []
        self.work = record(self.queue, ledger, self.handed.extend, patience=patience)

    def put(self, *facts: AnyFact) -> None:
        for one in heard(*facts):
            self.queue.put(one)

    async def emptied(self) -> None:
        await until(lambda: len(self.queue) == 0)


@asynccontextmanager
async def recording(ledger: Ledger) -> AsyncIterator[Recorder]:
    """Until all is written."""
    one = Recorder(ledger)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(one.work, name="recorder")
        yield one
        one.queue.close()


def rings(count: int, first: int = 0) -> list[AnyFact]:
    return [rang(f"pbx:{number}", "101") for number in range(first, first + count)]


async def written(pool: asyncpg.Pool) -> list[str]:
    return [row["key"] for row in await pool.fetch("SELECT key FROM facts ORDER BY seq")]


def keys(facts: Sequence[AnyFact]) -> list[str]:
    return [fact.key for fact in facts]
