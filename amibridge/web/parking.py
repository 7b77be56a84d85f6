"""`/api/park` and `/api/pickup`: an operator's customer is parked; a call is fetched for an operator.

Laws: only a GET that somebody means does anything, not a HEAD and not a browser that looks ahead; whoever is not known
learns nothing. Shapes of answers: docs/api.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from amibridge.calls.parking import AskedToFetch, AskedToPark, Fetched, ParkedThere
from amibridge.enterprises import Enterprise, Scope
from amibridge.web.access import Gate
from amibridge.web.handing import Asking, described, suspicious
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import TurnedAway, admitted, given, last

Park: TypeAlias = Callable[[Enterprise, AskedToPark], Awaitable[ParkedThere]]
Fetch: TypeAlias = Callable[[Enterprise, AskedToFetch], Awaitable[Fetched]]


@dataclass(frozen=True, slots=True)
class ParkingRoutes:
    """*park* and *fetch* do it. Raise ClickRefused, TransferRefused, TransferFailed."""

    gate: Gate
    park: Park
    fetch: Fetch
    suspects: Knocks = field(default_factory=suspicious)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/park", self._park, allow_head=False)
        router.add_get("/api/pickup", self._pickup, allow_head=False)

    async def _park(self, request: web.Request) -> web.StreamResponse:
        try:
            from_, client = given(request, "from_ext", "clientId")
            caller = admitted(self.gate, request, Scope.CALL, client)
        except TurnedAway as away:
            return away.answer
        asked = AskedToPark(from_, last(request, "timeout"), last(request, "call"))
        asking = Asking(request, caller, "park", "Parking failed")
        done = await asking.hears_of(lambda: self.park(caller.enterprise, asked), self.suspects)
        if isinstance(done, web.Response):
            return done
        caller.did("park", f"{done.call}: {done.from_} at {done.space}", "parked")
        until = None if done.until is None else done.until.isoformat(timespec="seconds")
        what = {"from_ext": done.from_, "space": done.space, "parked_until": until}
        return described(caller.enterprise, "Parked", what, done)

    async def _pickup(self, request: web.Request) -> web.StreamResponse:
        try:
            from_, client = given(request, "from_ext", "clientId")
            caller = admitted(self.gate, request, Scope.CALL, client)
        except TurnedAway as away:
            return away.answer
        target, space = last(request, "target"), last(request, "space")
        asked = AskedToFetch(from_, target, space, last(request, "call"))
        asking = Asking(request, caller, "pickup", "Pickup failed")
        done = await asking.hears_of(lambda: self.fetch(caller.enterprise, asked), self.suspects)
        if isinstance(done, web.Response):
            return done
        caller.did("pickup", f"{done.call}: {done.from_} from {done.place}", "picked_up")
        what = {"from_ext": done.from_, "target" if space is None else "space": done.place}
        return described(caller.enterprise, "Picked up", what, done)
