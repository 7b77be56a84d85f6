"""The heartbeat: tells systemd that the loop turns, and measures how long it ever stood still.

A stall matters: Asterisk drops an AMI client whose socket it cannot write to for 100 ms (`writetimeout`).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from amibridge.runtime.systemd import notify, watchdog_interval

log = structlog.get_logger()

EVERY = 0.02
"""Seconds between two beats: a stall of 20 ms is seen."""

LONG = timedelta(milliseconds=250)
"""A stall worth a line in the log."""

REMEMBERED = timedelta(minutes=1)


class Pulse:
    """Beats until cancelled; *longest_stall* is the longest of the last minute or two."""

    def __init__(self) -> None:
        self._stalls = (0.0, 0.0)

    @property
    def longest_stall(self) -> timedelta:
        return timedelta(seconds=max(self._stalls))

    async def beat(self) -> None:
        clock = asyncio.get_running_loop().time
        watchdog = watchdog_interval()
        fed = turned = clock()
        while True:
            before = clock()
            await asyncio.sleep(EVERY)
            now = clock()
            stall = max(0.0, now - before - EVERY)
            if now - turned > REMEMBERED.total_seconds():
                self._stalls, turned = (self._stalls[1], 0.0), now
            self._stalls = (self._stalls[0], max(self._stalls[1], stall))
            if stall > LONG.total_seconds():
                log.warning("loop_stalled", seconds=round(stall, 3))
            if watchdog is not None and now - fed > watchdog.total_seconds() / 2:
                notify("WATCHDOG=1")
                fed = now
