"""Who came with the wrong word is counted and told of together: whoever guesses must not write our log."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from amibridge.log import Seldom
from amibridge.web.visitors import address

log = structlog.get_logger()


class Knocks:
    """*event*: the line of the log, with how often it happened since the last one."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._seldom = Seldom()

    def note(self, request: web.Request, **words: str) -> None:
        if times := self._seldom.count(asyncio.get_running_loop().time()):
            log.warning(self._event, peer=address(request), times=times, **words)
