"""The side server under the load of a town, while its phones ring: how long each kind of question takes, and whether
any event of a PBX is late for it.

Laws: the whole daemon, PostgreSQL, the CRM and those who ask are processes of their own, the PBXs are ours; the first
seconds warm up and are not counted; of events, every one is looked at.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from amibridge.secrets import open_keyring
from bench.bridge import LOOK_EVERY, READY_WITHIN, Bridge, open_bridge
from bench.crm import open_crm
from bench.lateness import lateness
from bench.mix import Mix, mix
from bench.pbx import Pbxs
from bench.popup import WARM_UP, all_told, busy, cpu_between, latencies, own_database, percentile, undisturbed
from bench.process import machine_seconds
from bench.town import CALLS, ENTERPRISES, Shop, enterprise_file, fill, record, shops
from bench.visitors import Heard, open_visitors

RATE = 500.0
"""Questions a second."""

SECONDS = 60.0
CALL_RATE = 3.0
"""Calls a second in the whole town: some 480 events."""

EACH = 40
"""Calls of each enterprise that are asked for by name, and whose recordings are there."""

ANSWER_AIM, LATE_AIM = 50.0, 50.0
"""Milliseconds."""

ALL = "all"
MOST_KINDS = 8


@dataclass(frozen=True, slots=True)
class AnswersRow:
    """Of one *kind* of question, or of all. Times in ms, from the moment at which it was meant to be asked."""

    kind: str
    answers: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True, slots=True)
class TownRow:
    """While questions were *asked*, *rate* a second: *wrong* answers, and the commonest *kinds_of_wrong*; *clicks* that
    people meant, and the calls that were *placed*; *events* that PBXs wrote, and those that the bridge *heard*;
    *popups* of phones that rang, and those *lost*. Lateness of events and popups in ms; *asked_late*: of those who
    asked, who shared the machine. *stall*: the longest since the daemon started, or in the last minute or two. *cpu*:
    share of one core."""

    rate: float
    seconds: float
    enterprises: int
    asked: int
    wrong: int
    kinds_of_wrong: Sequence[str]
    connections: int
    clicks: int
    placed: int
    events: int
    heard: int
    late_p50: float | None
    late_p99: float | None
    latest: float | None
    popups: int
    lost: int
    popup_p50: float | None
    popup_p99: float | None
    stall: float
    asked_late: float | None
    cpu: float | None
    rss: float | None
    machine: float | None


async def measure(
    rate: float = RATE,
    seconds: float = SECONDS,
    *,
    enterprises: int = ENTERPRISES,
    calls: int = CALLS,
    call_rate: float = CALL_RATE,
    warm_up: float = WARM_UP,
    dsn: str | None = None,
) -> list[AnswersRow | TownRow]:
    """*calls*: that lie in the database. *dsn*: a server on which a database may be made; without, one of its own."""
    pbxs = Pbxs([f"pbx{number}" for number in range(enterprises)], stamped=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amibridge-bench-")))
        own = await stack.enter_async_context(own_database(dsn))
        await fill(own, enterprises, calls)
        bridge = await stack.enter_async_context(open_bridge(own))
        crm = await stack.enter_async_context(open_crm())
        ports = await stack.enter_async_context(pbxs.serve())
        files = [enterprise_file(number, crm.url, *host, folder) for number, host in enumerate(ports.items())]
        await bridge.start(files)
        known = await shops(own, enterprises, EACH)
        record(folder, [call.recording for shop in known for call in shop.calls])
        asked = mix(known, open_keyring(bridge.data_dir / "keyring"), rate, warm_up + seconds)
        await _warm(bridge, known, asked)
        async with open_visitors(bridge.url, asked.questions) as visitors, asyncio.TaskGroup() as tasks:
            playing = round(call_rate * (warm_up + seconds))
            costs, machine = [bridge.cost()], [machine_seconds()]
            begun, began = time.monotonic(), time.time()
            with undisturbed():
                tasks.create_task(pbxs.play(playing, warm_up + seconds), name="calls that come in")
                heard = await visitors.ask()
            costs.append(bridge.cost())
            machine.append(machine_seconds())
            lasted = time.monotonic() - begun
        told = await all_told(pbxs, crm, playing)
        stall = (await bridge.standing())["longest_stall_ms"]
        await bridge.stop()
        popups, lost = latencies(pbxs.sent, told.opened, begun + warm_up)
        late, all_events = lateness(bridge.data_dir, began + warm_up), lateness(bridge.data_dir)
    cpu = cpu_between(*costs)
    town = TownRow(
        rate=rate,
        seconds=seconds,
        enterprises=enterprises,
        asked=len(asked.questions),
        wrong=len(heard.wrong),
        kinds_of_wrong=[f"{count} x {what}" for what, count in Counter(heard.wrong).most_common(MOST_KINDS)],
        connections=heard.connections,
        clicks=asked.clicks,
        placed=len(pbxs.originated),
        events=pbxs.events,
        heard=len(all_events),
        late_p50=percentile(late, 50),
        late_p99=percentile(late, 99),
        latest=percentile(late, 100),
        popups=len(popups),
        lost=lost,
        popup_p50=percentile(popups, 50),
        popup_p99=percentile(popups, 99),
        stall=stall,
        asked_late=percentile(sorted(heard.late), 99),
        cpu=None if cpu is None else cpu / lasted,
        rss=None if costs[1] is None else costs[1].rss,
        machine=busy(*machine),
    )
    return [*_answers(heard, warm_up), town]


async def _warm(bridge: Bridge, known: Sequence[Shop], asked: Mix) -> None:
    """Until the tokens are good, and what is listened to often has been listened to once."""
    async with asyncio.timeout(READY_WITHIN):
        for shop in known:
            while await bridge.fetch("/api/v1/calls", {"Authorization": f"Bearer {shop.token}"}) != 200:
                await asyncio.sleep(LOOK_EVERY)
    for path in asked.warm:
        if (status := await bridge.fetch(path)) != 200:
            raise RuntimeError(f"a recording is answered with {status}")


def _answers(heard: Heard, warm_up: float) -> Iterator[AnswersRow]:
    counted = {kind: sorted(took for at, took in times if at >= warm_up) for kind, times in heard.times.items()}
    yield _row(ALL, sorted(took for times in counted.values() for took in times))
    for kind in sorted(counted, key=lambda kind: -len(counted[kind])):
        yield _row(kind, counted[kind])


def _row(kind: str, taken: Sequence[float]) -> AnswersRow:
    p50, p90, p99, longest = (percentile(taken, percent) for percent in (50, 90, 99, 100))
    return AnswersRow(kind, len(taken), p50, p90, p99, longest)
