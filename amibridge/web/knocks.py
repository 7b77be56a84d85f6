"""Who came with the wrong word is counted and told of together: whoever guesses must not write our log."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from aiohttp import web

from amibridge.web.visitors import address

log = structlog.get_logger()

SAID_EVERY = timedelta(minutes=1)


class Knocks:
    """*event*: the line of the log, with how often it happened since the last one."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._unsaid = 0
        self._quiet_till = 0.0

    def note(self, request: web.Request, **words: str) -> None:
        now = asyncio.get_running_loop().time()
        self._unsaid += 1
        if now >= self._quiet_till:
            log.warning(self._event, address=address(request), times=self._unsaid, **words)
            self._unsaid, self._quiet_till = 0, now + SAID_EVERY.total_seconds()
