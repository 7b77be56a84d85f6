"""A keeper under test with the recorder behind it, and what both left in the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from amibridge.ami.link import LinkSettings
from amibridge.calls.record import CallId
from amibridge.config import TraceSettings
from amibridge.enterprises import AmiHost, Enterprise, LinkState
from amibridge.runtime.keeper import Keeper
from amibridge.runtime.ring import Traces
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.store.ledger import Ledger
from amibridge.store.outbox import Delivery
from amibridge.store.recorder import FactQueue, record
from tests.ami.linking import PATIENT
from tests.store.enterprises import romashka

KEYRING = Keyring([Key("test", bytes(32))])


def enterprise(*hosts: AmiHost, number: str = "0123") -> Enterprise:
    return replace(romashka(number), hosts=hosts)


@dataclass
class Kept:
    """A keeper that runs, with what it told: *told* has each reading of the directory, *delivered* each delivery."""

    keeper: Keeper
    queue: FactQueue
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Sequence[Enterprise]] = field(default_factory=list)
    delivered: list[Delivery] = field(default_factory=list)

    def states(self) -> dict[str, LinkState]:
        return {one.host.name: one.state for one in self.keeper.standings()}

    def all_up(self, *names: str) -> bool:
        return self.states() == dict.fromkeys(names, LinkState.UP)


def untraced() -> Traces:
    """No bytes are kept on disk."""
    return Traces(Path("/nowhere"), TraceSettings(keep=timedelta(0)))


@contextlib.asynccontextmanager
async def keeping(
    pool: asyncpg.Pool,
    *,
    directory: Directory | None = None,
    settings: LinkSettings = PATIENT,
    queue: FactQueue | None = None,
    recording: bool = True,
) -> AsyncIterator[Kept]:
    """A keeper and the recorder behind it; both stopped in order at the end."""
    queue = FactQueue() if queue is None else queue
    told: list[Sequence[Enterprise]] = []
    ledger = Ledger(pool)
    keeper = Keeper(directory or Directory(pool, KEYRING), ledger, queue, untraced(), told.append, settings)
    kept = Kept(keeper, queue, told=told)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(keeper.keep(kept.stop), name="keeper under test")
        if recording:
            tasks.create_task(record(queue, ledger, kept.delivered.extend), name="recorder")
        try:
            yield kept
        finally:
            kept.stop.set()
            await asyncio.wait({work})
            queue.close()


async def rows(pool: asyncpg.Pool, sql: str, *args: Any) -> list[Any]:
    return [row[0] for row in await pool.fetch(sql, *args)]


async def ended(pool: asyncpg.Pool) -> Counter[CallId]:
    """How many verdicts each call has got."""
    return Counter(await rows(pool, "SELECT call_id FROM facts WHERE kind IN ('call.finished', 'call.missed')"))


async def count(pool: asyncpg.Pool, table: str) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


async def counts(pool: asyncpg.Pool, table: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while await count(pool, table) != wanted:
            await asyncio.sleep(0.01)


def logins(pbx: SandboxPbx) -> int:
    return sum(action["Action"] == "Login" for action in pbx.received)


def goodbyes(pbx: SandboxPbx) -> int:
    return sum(action["Action"] == "Logoff" for action in pbx.received)


async def facts_of(pool: asyncpg.Pool, kind: str, wanted: int) -> None:
    """Wait until so many facts of a kind are written."""
    async with asyncio.timeout(20):
        while await pool.fetchval("SELECT count(*) FROM facts WHERE kind = $1", kind) < wanted:
            await asyncio.sleep(0.01)
