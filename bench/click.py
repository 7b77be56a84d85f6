"""From an HTTP request to the Originate on the PBX's socket, and to the answer: the whole daemon, while calls go on.

Laws: each click is another number, so that none is a repeat; one after another, as people click; latency is taken on
the machine's monotonic clock, which both ends share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bench.bridge import open_bridge
from bench.crm import open_crm
from bench.pbx import CALLS, Pbxs
from bench.popup import database, enterprise_file, percentile

RATES = (0, 5)
"""Calls a second that go on meanwhile."""

CLICKS = 500
EVERY = 0.02
"""Seconds between two."""

CLIENT_ID = "bench-client"


@dataclass(frozen=True, slots=True)
class ClickRow:
    """While *rate* calls a second went on: *clicks* that were placed, *lost* those that were not. Latencies in ms, from
    the request to the Originate and to the answer."""

    rate: float
    clicks: int
    lost: int
    originate_p50: float | None
    originate_p99: float | None
    originate_longest: float | None
    answer_p50: float | None
    answer_p99: float | None


async def measure(
    rates: Iterable[float] = RATES,
    clicks: int = CLICKS,
    *,
    repertoire: Sequence[str] = CALLS,
    dsn: str | None = None,
) -> AsyncIterator[ClickRow]:
    for rate in rates:
        async with database(dsn) as own, open_bridge(own) as bridge, open_crm() as crm:
            pbxs = Pbxs(["pbx0"], repertoire)
            async with pbxs.serve() as ports, asyncio.TaskGroup() as tasks:
                text = f'client_id = "{CLIENT_ID}"\n' + enterprise_file(0, crm.url, "pbx0", ports["pbx0"])
                await bridge.start([text])
                seconds = clicks * EVERY
                playing = tasks.create_task(pbxs.play(round(rate * seconds), seconds), name="calls that go on")
                asked: dict[str, float] = {}
                answered: list[float] = []
                for number in range(clicks):
                    begun = time.monotonic()
                    call = await bridge.click(CLIENT_ID, "101", f"+7916{number:07}")
                    answered.append((time.monotonic() - begun) * 1000)
                    if call is not None:
                        asked[call] = begun
                    await asyncio.sleep(EVERY)
                playing.cancel()
                with suppress(asyncio.CancelledError):
                    await playing
            yield _row(rate, clicks, asked, pbxs.originated, answered)


def _row(
    rate: float, clicks: int, asked: dict[str, float], originated: dict[str, float], answered: list[float]
) -> ClickRow:
    taken = sorted((originated[call] - begun) * 1000 for call, begun in asked.items() if call in originated)
    answered.sort()
    return ClickRow(
        rate=rate,
        clicks=len(taken),
        lost=clicks - len(taken),
        originate_p50=percentile(taken, 50),
        originate_p99=percentile(taken, 99),
        originate_longest=percentile(taken, 100),
        answer_p50=percentile(answered, 50),
        answer_p99=percentile(answered, 99),
    )
