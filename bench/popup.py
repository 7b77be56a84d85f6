"""From an AMI byte to the CRM's request: the whole daemon between PBXs and a CRM that the bench plays.

Laws: the first seconds warm up and are not counted; a ring that the CRM never heard of is lost and said to be; each
rate has a daemon and a database of its own; latency is taken on the machine's monotonic clock, which all share.
"""

from __future__ import annotations

import asyncio
import gc
import math
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from amibridge.store.embedded import open_embedded
from bench.bridge import LOOK_EVERY, Bridge, open_bridge
from bench.crm import Crm, Ring, Told, open_crm
from bench.pbx import CALLS, SECRET, USERNAME, Pbxs
from bench.process import Cost, machine_seconds

RATES = (5, 48)
"""Calls a second: about 800 and 7,600 events."""

SECONDS = 25.0
WARM_UP = 3.0

CALLS_PER_ENTERPRISE = 3
"""A second. An account may be asked 32 times a second; a rate limit that holds back popups is not what is measured."""

TOLD_WITHIN = 10.0
"""Seconds that the CRM gets, when all has been played, to hear the rest."""


@dataclass(frozen=True, slots=True)
class PopupRow:
    """Of all that was played: *calls*, *events*, *history* (calls uploaded), *cpu* (share of one core), *machine*
    (share of all cores, whoever used them). *popups* are those measured, *lost* those that never came. Latencies and
    the daemon's longest *stall* (since it started, or in the last minute) in ms, its memory in MB."""

    rate: float
    enterprises: int
    calls: int
    events: int
    history: int
    popups: int
    lost: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None
    stall: float
    rss: float | None
    peak: float | None
    cpu: float | None
    cpu_us_per_event: float | None
    machine: float | None


async def measure(
    rates: Iterable[float] = RATES,
    *,
    seconds: float = SECONDS,
    warm_up: float = WARM_UP,
    repertoire: Sequence[str] = CALLS,
    dsn: str | None = None,
) -> AsyncIterator[PopupRow]:
    """A row for each rate. *seconds* are counted from the end of the *warm_up*. *dsn*: a server on which a database
    may be made; without, the daemon starts one of its own."""
    for rate in rates:
        async with database(dsn) as own, open_bridge(own) as bridge:
            yield await _measure(bridge, rate, seconds, warm_up, repertoire)


async def _measure(bridge: Bridge, rate: float, seconds: float, warm_up: float, repertoire: Sequence[str]) -> PopupRow:
    enterprises = math.ceil(rate / CALLS_PER_ENTERPRISE)
    pbxs = Pbxs([f"pbx{number}" for number in range(enterprises)], repertoire)
    async with open_crm() as crm, pbxs.serve() as ports:
        await bridge.start([enterprise_file(number, crm.url, *host) for number, host in enumerate(ports.items())])
        calls = round(rate * (warm_up + seconds))
        costs, machine, begun = [bridge.cost()], [machine_seconds()], time.monotonic()
        with undisturbed():
            await pbxs.play(calls, warm_up + seconds)
        lasted = time.monotonic() - begun
        costs.append(bridge.cost())
        machine.append(machine_seconds())
        told = await all_told(pbxs, crm, calls)
        stall, memory = (await bridge.standing())["longest_stall_ms"], bridge.cost()
    taken, lost = latencies(pbxs.sent, told.opened, begun + warm_up)
    cpu = cpu_between(*costs)
    return PopupRow(
        rate=rate,
        enterprises=enterprises,
        calls=calls,
        events=pbxs.events,
        history=len(told.history),
        popups=len(taken),
        lost=lost,
        p50=percentile(taken, 50),
        p90=percentile(taken, 90),
        p99=percentile(taken, 99),
        longest=percentile(taken, 100),
        stall=stall,
        rss=None if memory is None else memory.rss,
        peak=None if memory is None else memory.peak,
        cpu=None if cpu is None else cpu / lasted,
        cpu_us_per_event=None if cpu is None else cpu / pbxs.events * 1e6,
        machine=busy(*machine),
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """No collection of old objects here, which would be taken for a latency there."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def cpu_between(before: Cost | None, after: Cost | None) -> float | None:
    return None if before is None or after is None else after.cpu - before.cpu


def busy(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    return None if before is None or after is None else (after[0] - before[0]) / (after[1] - before[1])


def enterprise_file(number: int, crm: str, host: str, port: int) -> str:
    """The text of an enterprise file. With the time zone in it, history waits for no question."""
    return (
        f'number = "{number:04}"\nname = "Shop {number}"\ntimezone = "Europe/Moscow"\n'
        f'[retailcrm]\nurl = "{crm}"\napi_key = "key-of-shop-{number:04}"\n'
        f'[[asterisk]]\nname = "{host}"\nhost = "127.0.0.1"\nport = {port}\n'
        f'username = "{USERNAME}"\nsecret = "{SECRET}"\n'
    )


async def all_told(pbxs: Pbxs, crm: Crm, calls: int) -> Told:
    """What the CRM knows in the end."""
    deadline = time.monotonic() + TOLD_WITHIN
    while True:
        told = await crm.told()
        popups = all(len(told.opened.get(ring, ())) >= len(sent) for ring, sent in pbxs.sent.items())
        if (popups and len(told.history) >= calls) or time.monotonic() > deadline:
            return told
        await asyncio.sleep(LOOK_EVERY)


def latencies(
    sent: Mapping[Ring, Sequence[float]], opened: Mapping[Ring, Sequence[float]], since: float
) -> tuple[list[float], int]:
    """Milliseconds of each popup whose phone rang *since*, shortest first; how many never came."""
    taken: list[float] = []
    lost = 0
    for ring, times in sent.items():
        arrivals = opened.get(ring, ())
        for rang, told in zip_longest(times, arrivals):
            if rang is None or rang < since:
                continue
            if told is None:
                lost += 1
            else:
                taken.append((told - rang) * 1000)
    return sorted(taken), lost


def percentile(ascending: Sequence[float], percent: int) -> float | None:
    """The nearest rank; None of nothing."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)] if ascending else None


@asynccontextmanager
async def database(server: str | None) -> AsyncIterator[str | None]:
    """A database of the bench's own on *server*, dropped afterwards; None for None."""
    if server is None:
        yield None
        return
    name = f"amibridge_bench_{secrets.token_hex(6)}"
    await _command(server, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        await _command(server, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def own_database(server: str | None) -> AsyncIterator[str]:
    """On *server*, or on one of its own that writes to the disk what it says it has written."""
    async with AsyncExitStack() as stack:
        if server is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="amibridge-bench-"))
            server = (await stack.enter_async_context(open_embedded(Path(folder)))).dsn
        dsn = await stack.enter_async_context(database(server))
        assert dsn is not None
        yield dsn


async def _command(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
