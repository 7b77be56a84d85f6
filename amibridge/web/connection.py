"""One HTTP connection: what never reaches a route is answered in our shape, too, and logged without a byte of it.

aiohttp would write the whole of what it could not read into the log, a token in the path included. It would also keep
for an hour whoever says nothing, and as many of them as come; so one visitor has a quarter of what there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from aiohttp import web

from amibridge.log import Seldom
from amibridge.neighbours import Places
from amibridge.web.answers import REQUEST_ID, new_request_id, refusal, refusal_of

log = structlog.get_logger()


FIRST_WITHIN = 15.0
"""Seconds for the head of the first request."""

NEXT_WITHIN = 75.0
"""Seconds for the head of the next one: longer than reverse proxies keep a connection, or they would find it closed."""

MOST = 400
"""Connections at once. Nobody has so many players, and a process may open 1024 files where nobody raised that."""

MOST_OF_ONE = 100
"""Of one visitor: an office has fewer players behind one address. A trusted proxy may have all."""


class Doors:
    """Whose connections there are, and the line of the log about those that were too many."""

    def __init__(self, trusted_proxies: Sequence[str] = ()) -> None:
        self.places = Places(MOST, MOST_OF_ONE, trusted_proxies)
        self._closed = Seldom()

    def say_closed(self, peer: str, now: float) -> None:
        if times := self._closed.count(now):
            log.warning("connection_closed_at_once", peer=peer, open=len(self.places), times=times)


class Connection(web.RequestHandler):
    __slots__ = ("_doors", "_peer")

    def __init__(self, manager: web.Server, doors: Doors, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(manager, loop=loop, keepalive_timeout=NEXT_WITHIN)
        self._doors = doors
        self._peer: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One too many is closed at once."""
        name = transport.get_extra_info("peername")
        peer = str(name[0]) if name else ""
        if self._manager is None or not self._doors.places.take(peer):
            self._doors.say_closed(peer, self._loop.time())
            transport.close()
            return
        self._peer = peer
        super().connection_made(transport)
        self._loop.call_later(FIRST_WITHIN, self._leave_if_nothing_came)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._peer is not None:
            self._doors.places.leave(self._peer)
            self._peer = None
        super().connection_lost(exc)

    def _leave_if_nothing_came(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Nothing: the path may hold a token, and what was done is said by whoever did it."""

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*; one that aiohttp made before our middleware was asked, in our shape."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = refusal_of(resp)
            resp.headers[REQUEST_ID] = new_request_id()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP or too large for it, and to what failed outside of our middleware."""
        request_id, kind = new_request_id(), type(exc).__name__
        if status < 500:
            log.info("request_not_understood", request=request_id, peer=request.remote, reason=kind)
            answer = refusal(status, "bad_request", "This is not a request that can be understood.")
        else:
            log.error("request_failed", request=request_id, peer=request.remote, reason=kind, exc_info=exc)
            answer = refusal(status, "internal_error", "Something went wrong here; the log knows more.")
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is under way already")
        answer.headers[REQUEST_ID] = request_id
        answer.force_close()
        return answer
