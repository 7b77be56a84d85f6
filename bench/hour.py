"""An hour of talk becomes mp3 while phones ring: does the loop stand still, is any event late for it?

Laws: a daemon and a database of its own; whether the loop turns is asked from outside, every few milliseconds, and
until the mp3 is there.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from amibridge.secrets import open_keyring
from bench.bridge import open_bridge
from bench.crm import open_crm
from bench.lateness import lateness
from bench.pbx import Pbxs
from bench.popup import WARM_UP, own_database, percentile, undisturbed
from bench.town import CUSTOMERS, enterprise_file, fill, record, recording_path, shops
from bench.visitors import Question, open_visitors

MINUTES = 60.0
CALL_RATE = 0.5
LOOK_EVERY = 0.005
LOOKED_FOR = 30.0
"""Seconds: as long as a machine may take that is neither small nor busy."""

MADE_WITHIN = 300.0


@dataclass(frozen=True, slots=True)
class HourRow:
    """*minutes* of WAV that became mp3 within *seconds*, of which the loop was looked at *looks* times; how long that
    took at *look_p99* and *look_longest*; *events* of PBXs, the *latest* of them; in ms."""

    minutes: float
    seconds: float
    looks: int
    look_p99: float | None
    look_longest: float | None
    events: int
    latest: float | None


async def measure(minutes: float = MINUTES, *, looked_for: float = LOOKED_FOR, dsn: str | None = None) -> HourRow:
    """*dsn*: a server on which a database may be made; without, one of its own."""
    pbxs = Pbxs(["pbx0"], stamped=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amibridge-bench-")))
        own = await stack.enter_async_context(own_database(dsn))
        await fill(own, 1, CUSTOMERS)
        bridge = await stack.enter_async_context(open_bridge(own))
        crm = await stack.enter_async_context(open_crm())
        ports = await stack.enter_async_context(pbxs.serve())
        await bridge.start([enterprise_file(0, crm.url, "pbx0", ports["pbx0"], folder)])
        [shop] = await shops(own, 1, 1)
        record(folder, [shop.calls[0].recording], timedelta(minutes=minutes))
        path = recording_path(open_keyring(bridge.data_dir / "keyring"), shop, shop.calls[0])
        looks = [
            Question(number * LOOK_EVERY, "look", "/health/live", "127.0.0.1")
            for number in range(round((WARM_UP + looked_for) / LOOK_EVERY))
        ]
        async with open_visitors(bridge.url, looks) as visitors, asyncio.TaskGroup() as tasks:
            with undisturbed():
                calls = round(CALL_RATE * (WARM_UP + looked_for))
                tasks.create_task(pbxs.play(calls, WARM_UP + looked_for), name="calls that come in")
                looking = tasks.create_task(visitors.ask(), name="looks")
                await asyncio.sleep(WARM_UP)
                begun, began = time.monotonic(), time.time()
                async with asyncio.timeout(MADE_WITHIN):
                    while await bridge.fetch(path) != 200:
                        await asyncio.sleep(LOOK_EVERY)
                seconds = time.monotonic() - begun
                heard = await looking
        await bridge.stop()
        late = lateness(bridge.data_dir, began, began + seconds)
    if heard.wrong:
        raise RuntimeError(f"the daemon does not say that it lives: {heard.wrong[0]}")
    taken = sorted(took for at, took in heard.times["look"] if WARM_UP <= at <= WARM_UP + seconds)
    p99, longest = percentile(taken, 99), percentile(taken, 100)
    return HourRow(minutes, seconds, len(taken), p99, longest, len(late), percentile(late, 100))
