"""`/api/v1/events`: what is said of calls, as a stream of server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from amibridge.calls.record import CallId
from amibridge.enterprises import Scope
from amibridge.web.access import Caller
from amibridge.web.api.endpoint import EVENTS, Endpoint, endpoint
from amibridge.web.api.shapes import EventsAsk, EventShape
from amibridge.web.streams import Streams
from amibridge.web.tail import Wanted


def event_endpoint(streams: Streams, would_admit: Callable[[Caller, Scope], bool]) -> Endpoint[Any]:
    @endpoint("/api/v1/events", Scope.READ, "events.listen", EventsAsk, EventShape, EVENTS)
    async def events(caller: Caller, ask: EventsAsk) -> web.StreamResponse:
        """What is said of calls, while it is said: server-sent events, each once and in order.

        Whoever comes again with the id of the last event that he had, however old it is, misses none. A stream ends
        after an hour, or when its token is not good any more.
        """
        wanted = Wanted(
            None if ask.events is None else frozenset(ask.events), None if ask.call is None else CallId(ask.call)
        )
        place = ask.last_event_id if ask.resumed_after is None else ask.resumed_after
        return await streams.open(caller, wanted, place, partial(would_admit, caller, Scope.READ))

    return events
