"""What waited for a CRM: how fast it drains, and what a neighbour feels of it.

Laws: the CRM answers as late as a far one does, over real sockets; rows lie in the table before the daemon starts; each
measurement has a daemon and a database of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from amibridge.store.db import open_pool
from amibridge.store.embedded import open_embedded
from amibridge.store.migrations import migrate
from bench.bridge import LOOK_EVERY, Bridge, open_bridge
from bench.crm import Crm, Told, open_crm
from bench.crowd import HOST, missed, put
from bench.pbx import CALLS, Pbxs
from bench.popup import WARM_UP, all_told, database, enterprise_file, latencies, percentile, undisturbed

HISTORY = 5_000
"""Calls that wait, each with an errand: ten thousand deliveries."""

ANSWERS_AFTER = 0.150
"""Seconds: a CRM in another country."""

DRAINED_WITHIN = 600.0
BESIDES = ((False, ANSWERS_AFTER), (True, ANSWERS_AFTER), (True, None))
"""Whether much waits at the third enterprise, and after how many seconds its CRM answers, None for never."""

RATE = 5.0
"""Calls a second at the neighbours', of which there are two."""


@dataclass(frozen=True, slots=True)
class DrainRow:
    """*calls* that were told in *seconds*, from the first request about them to the last. *telephony*, *ordinary*: the
    most requests in any second; the CRM allows 40 and 10."""

    calls: int
    seconds: float
    per_minute: float
    telephony: int
    ordinary: int


@dataclass(frozen=True, slots=True)
class BesideRow:
    """*popups* of two enterprises, and how many were *lost*, beside a third. Latencies in ms."""

    beside: str
    popups: int
    lost: int
    p50: float | None
    p99: float | None
    longest: float | None


async def measure(
    *,
    history: int = HISTORY,
    seconds: float = 20.0,
    dsn: str | None = None,
    besides: Sequence[tuple[bool, float | None]] = BESIDES,
) -> AsyncIterator[DrainRow | BesideRow]:
    """*dsn*: a server on which a database may be made; without, one of the bench's own."""
    async with _server(dsn) as server:
        async with database(server) as own, open_bridge(own) as bridge, open_crm(ANSWERS_AFTER) as crm:
            assert own is not None
            yield await _drain(bridge, own, crm, history)
        for crowded, answers_after in besides:
            async with database(server) as own, open_bridge(own) as bridge, open_crm(answers_after) as crm:
                assert own is not None
                yield await _beside(bridge, own, crm, history if crowded else 0, answers_after, seconds)


async def _drain(bridge: Bridge, dsn: str, crm: Crm, history: int) -> DrainRow:
    pbxs = Pbxs([HOST])
    async with pbxs.serve() as ports:
        await _wait_in(dsn, history)
        await bridge.start([enterprise_file(0, crm.url, HOST, ports[HOST])])
        async with asyncio.timeout(DRAINED_WITHIN):
            while len((told := await crm.told()).history) < history:
                await asyncio.sleep(LOOK_EVERY)
    lasted = told.uploads[-1] - told.uploads[0] + ANSWERS_AFTER
    return DrainRow(
        len(told.history), lasted, len(told.history) / lasted * 60, busiest(told.telephony), busiest(told.ordinary)
    )


async def _beside(
    bridge: Bridge, dsn: str, crowded: Crm, waiting: int, answers_after: float | None, seconds: float
) -> BesideRow:
    names = ["pbx1", "pbx2"]
    pbxs, crowd = Pbxs(names, CALLS), Pbxs([HOST])
    async with open_crm() as crm, pbxs.serve() as ports, crowd.serve() as others:
        await _wait_in(dsn, waiting)
        files = [enterprise_file(number, crm.url, *host) for number, host in enumerate(ports.items(), start=1)]
        await bridge.start([enterprise_file(0, crowded.url, HOST, others[HOST]), *files])
        calls, begun = round(RATE * (WARM_UP + seconds)), time.monotonic()
        with undisturbed():
            await pbxs.play(calls, WARM_UP + seconds)
        told: Told = await all_told(pbxs, crm, calls)
    taken, lost = latencies(pbxs.sent, told.opened, begun + WARM_UP)
    ends = "never end" if answers_after is None else "drain"
    beside = f"{2 * waiting:,} deliveries that {ends}" if waiting else "nobody who waits"
    return BesideRow(beside, len(taken), lost, *(percentile(taken, percent) for percent in (50, 99, 100)))


def busiest(times: Sequence[float]) -> int:
    """The most of *times* in any one second."""
    most, last = 0, 0
    for first, begun in enumerate(times):
        while last < len(times) and times[last] < begun + 1.0:
            last += 1
        most = max(most, last - first)
    return most


async def _wait_in(dsn: str, history: int) -> None:
    await migrate(dsn)
    async with open_pool(dsn) as pool:
        await put(pool, "0000", missed, history)


@asynccontextmanager
async def _server(dsn: str | None) -> AsyncIterator[str]:
    if dsn is not None:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="amibridge-bench-") as folder:
        async with open_embedded(Path(folder), throwaway=True) as server:
            yield server.dsn
