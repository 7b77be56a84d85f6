"""From the queue into the ledger: whatever gathered while the last commit ran is the next batch.

Laws: a fact leaves the queue only when it is written or set aside; a database that is away is waited for, a full disk
is cried about and then stops us; one fact that PostgreSQL will not take holds up no other. Anomalies come after facts.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import asyncpg
import structlog

from amibridge.calls.facts import CallEnded
from amibridge.calls.record import CallRecord
from amibridge.enterprises import EnterpriseId
from amibridge.store.anomalies import HeardAnomaly
from amibridge.store.db import AWAY
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import Delivery

log = structlog.get_logger()

Result = TypeVar("Result")

QUEUE_SIZE = 50_000
"""Facts: about 10,000 calls, an hour of a busy enterprise while its database is away."""

MOST_ANOMALIES = 100
"""That wait; the oldest go first, for one anomaly in the database is as telling as many."""

BATCH = 500
PAUSE_FIRST, PAUSE_CAP = 0.1, 5.0

DISK_PATIENCE = timedelta(seconds=60)
"""How long a full disk is tried again before we stop: somebody may be clearing it."""


class QueueFull(Exception):
    """Let go of the host and resync later: nothing may be dropped silently."""


class StoreHopeless(Exception):
    """Stop the process: the database takes nothing any more and a person must look."""


class FactQueue:
    """Facts on their way to the database, in the order they were heard; and anomalies, which may get lost.

    *set_aside*: how many facts of whom PostgreSQL would not take. *hear*: is told of each fact that was put, at once
    and before it is written; nothing in it may wait.
    """

    def __init__(self, size: int = QUEUE_SIZE, hear: Callable[[HeardFact], None] = lambda _: None) -> None:
        self._size = size
        self._hear = hear
        self._facts: deque[HeardFact] = deque()
        self._anomalies: deque[HeardAnomaly] = deque(maxlen=MOST_ANOMALIES)
        self._stirred, self._lightened = asyncio.Event(), asyncio.Event()
        self._put = self._safe = 0
        self.closed = False
        self.set_aside: Counter[EnterpriseId] = Counter()

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def room(self) -> int:
        """For how many more there is."""
        return self._size - len(self._facts)

    def records_of(self, enterprise: EnterpriseId) -> list[CallRecord]:
        """Of calls that are over, and not yet in the table."""
        waiting = (one.fact for one in self._facts if one.enterprise == enterprise)
        return [fact.record for fact in waiting if isinstance(fact, CallEnded)]

    @property
    def written(self) -> int:
        """How many have left it."""
        return self._safe

    def put(self, heard: HeardFact) -> None:
        """Never waits. Raises QueueFull."""
        if len(self._facts) >= self._size:
            raise QueueFull(f"{len(self._facts)} facts wait for the database")
        self._facts.append(heard)
        self._put += 1
        self._stirred.set()
        self._hear(heard)

    def wonder(self, heard: HeardAnomaly) -> None:
        """Never waits, never refuses."""
        self._anomalies.append(heard)
        self._stirred.set()

    def close(self) -> None:
        """Nothing more will be put: the recorder ends when all is written."""
        self.closed = True
        self._stirred.set()

    async def some(self) -> bool:
        """Wait until there is something; False once the queue is closed and empty."""
        while not self._facts and not self._anomalies:
            if self.closed:
                return False
            self._stirred.clear()
            await self._stirred.wait()
        return True

    def first(self, count: int) -> list[HeardFact]:
        """The oldest facts, left where they are."""
        return [self._facts[at] for at in range(min(count, len(self._facts)))]

    def take_anomalies(self) -> list[HeardAnomaly]:
        """All that wait; they are the caller's now."""
        taken = list(self._anomalies)
        self._anomalies.clear()
        return taken

    def remove(self, count: int) -> None:
        """The oldest *count* facts are safe."""
        for _ in range(count):
            self._facts.popleft()
        self._safe += count
        self._lightened.set()

    async def safe(self) -> None:
        """Wait until all that was put so far is safe."""
        put = self._put
        while self._safe < put:
            self._lightened.clear()
            await self._lightened.wait()


async def record(
    queue: FactQueue,
    ledger: Ledger,
    deliver: Callable[[list[Delivery]], None],
    *,
    patience: timedelta = DISK_PATIENCE,
    written: Callable[[Sequence[HeardFact]], None] = lambda _: None,
) -> None:
    """Write what is queued until the queue is closed and empty, handing deliveries over after each commit.

    *written* is told of each batch after that.

    Raises StoreHopeless when the disk of the database stays full for *patience*.
    """
    while await queue.some():
        if batch := queue.first(BATCH):
            await _record_batch(queue, ledger, batch, deliver, patience)
            written(batch)
        if heard := queue.take_anomalies():
            await _record_anomalies(queue, ledger, heard, patience)


async def _record_batch(
    queue: FactQueue,
    ledger: Ledger,
    batch: Sequence[HeardFact],
    deliver: Callable[[list[Delivery]], None],
    patience: timedelta,
) -> None:
    try:
        deliveries = await _write(queue, ledger, batch, patience)
    except (asyncpg.PostgresError, ValueError) as error:
        if len(batch) > 1:
            middle = len(batch) // 2
            await _record_batch(queue, ledger, batch[:middle], deliver, patience)
            await _record_batch(queue, ledger, batch[middle:], deliver, patience)
        else:
            await _set_aside(queue, ledger, batch[0], error, patience)
            queue.remove(1)
        return
    queue.remove(len(batch))
    deliver(deliveries)


async def _record_anomalies(
    queue: FactQueue, ledger: Ledger, heard: Sequence[HeardAnomaly], patience: timedelta
) -> None:
    try:
        await _in_the_end(lambda _: ledger.record_anomalies(heard), queue, patience)
    except (asyncpg.PostgresError, ValueError) as error:
        log.warning("anomalies_not_recorded", anomalies=len(heard), reason=str(error))


async def _write(queue: FactQueue, ledger: Ledger, batch: Sequence[HeardFact], patience: timedelta) -> list[Delivery]:
    """Write one batch, however long the database is away. A refusal of the batch itself is raised."""

    async def write(again: bool) -> list[Delivery]:
        deliveries = await ledger.record(batch)
        # The commit of an earlier try may have succeeded without our hearing of it.
        return await ledger.due_of(batch) if again else deliveries

    return await _in_the_end(write, queue, patience)


async def _set_aside(queue: FactQueue, ledger: Ledger, heard: HeardFact, error: Exception, patience: timedelta) -> None:
    log.error(
        "fact_set_aside",
        enterprise=heard.enterprise,
        host=heard.host,
        call=heard.fact.call,
        fact=heard.fact.key,
        reason=str(error),
    )
    await _in_the_end(lambda _: ledger.reject(heard, str(error)), queue, patience)
    queue.set_aside[heard.enterprise] += 1


async def _in_the_end(attempt: Callable[[bool], Awaitable[Result]], queue: FactQueue, patience: timedelta) -> Result:
    """What *attempt* returns once the database is there; it is told whether it is tried again."""
    clock = asyncio.get_running_loop().time
    away_since: float | None = None
    full_since: float | None = None
    pause = PAUSE_FIRST
    while True:
        try:
            result = await attempt(away_since is not None)
        except AWAY as error:
            now = clock()
            if isinstance(error, asyncpg.DiskFullError):
                if full_since is None:
                    full_since = now
                    _cry(error, len(queue))
                if now - full_since > patience.total_seconds():
                    raise StoreHopeless("the disk of the database is full") from error
            elif away_since is None:
                _cry(error, len(queue))
            away_since = now if away_since is None else away_since
            await asyncio.sleep(pause)
            pause = min(PAUSE_CAP, pause * 2)
        else:
            if away_since is not None:
                log.info("database_back", away_seconds=round(clock() - away_since, 1), facts_waiting=len(queue))
            return result


def _cry(error: BaseException, waiting: int) -> None:
    if isinstance(error, asyncpg.DiskFullError):
        log.critical("database_disk_full", reason=str(error), facts_waiting=waiting, advice="make room on its disk")
    else:
        log.error("database_lost", reason=str(error) or type(error).__name__, facts_waiting=waiting)
