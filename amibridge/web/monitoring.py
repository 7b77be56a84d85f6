"""`/api/monitor`: a supervisor's phone rings and listens in on an operator, whispers to him, or barges in.

Laws: only a GET that somebody means, not a HEAD and not a browser that looks ahead; a token lets in, or the client id
where the enterprise names whose phones may; whoever is not known learns nothing; each refusal is audited. Shapes of
answers: docs/api.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.monitoring import Begun, Mode, MonitoringFailed, MonitoringRefused, Wanted, Why, mode_of
from amibridge.enterprises import Enterprise, Scope
from amibridge.web.access import Gate
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import UNCACHED, TurnedAway, admitted, given, last, legacy_refusal, looks_ahead

Monitor: TypeAlias = Callable[[Enterprise, Wanted], Awaitable[Begun]]

STATUSES = {
    Why.NOT_A_SUPERVISOR: 403,
    Why.HIMSELF: 400,
    Why.NO_CALL: 404,
    Why.SEVERAL: 409,
    Why.IN_THAT_CALL: 409,
    Why.LISTENS_ALREADY: 409,
    Why.NOT_TWO: 409,
}


@dataclass(frozen=True, slots=True)
class MonitorRoutes:
    """*monitor* begins it. Raises ClickRefused, MonitoringRefused, MonitoringFailed."""

    gate: Gate
    monitor: Monitor
    suspects: Knocks = field(default_factory=lambda: Knocks("call_request_suspicious"))

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/monitor", self._monitor, allow_head=False)

    async def _monitor(self, request: web.Request) -> web.StreamResponse:
        try:
            action, target, from_, client = given(request, "action", "target", "monitor_from", "clientId")
            caller = admitted(self.gate, request, Scope.SUPERVISE, client)
        except TurnedAway as away:
            return away.answer
        mode = mode_of(action)
        if mode is None:
            caller.did("monitor", "", "unknown_action")
            known = ", ".join(f"{one.code} ({one})" for one in Mode)
            return legacy_refusal(400, f"action must be one of {known}", error="unknown_action")
        if looks_ahead(request):
            caller.did("monitor", "", Unasked.PREFETCH)
            return legacy_refusal(400, "A browser only looks ahead here.", error=Unasked.PREFETCH)
        enterprise = caller.enterprise
        try:
            begun = await self.monitor(enterprise, Wanted(mode, target, from_, last(request, "call")))
        except ClickRefused as refused:
            caller.did("monitor", "", refused.why)
            if refused.smells:
                self.suspects.note(request, enterprise=enterprise.id, way="monitor", reason=refused.why)
            return legacy_refusal(400, str(refused), error=refused.why)
        except MonitoringRefused as refused:
            # Both are extensions of the enterprise's by now: who was kept from hearing whom is worth knowing.
            caller.did("monitor", f"{from_} on {target}", refused.why)
            return legacy_refusal(STATUSES[refused.why], str(refused), error=refused.why)
        except MonitoringFailed as failed:
            caller.did("monitor", f"{from_} on {target}", "failed")
            return legacy_refusal(500, f"Monitoring failed: {failed}")
        caller.did("monitor", f"{begun.call}: {begun.from_} on {begun.target}", begun.mode)
        return web.json_response(_described(enterprise, begun), headers=UNCACHED)


def _described(enterprise: Enterprise, begun: Begun) -> dict[str, Any]:
    return {
        "success": True,
        "action": begun.mode.code,
        "action_name": begun.mode.shown,
        "mode": begun.mode,
        "target": begun.target,
        "monitor_from": begun.from_,
        "target_channel": begun.channel,
        "enterprise": enterprise.name,
        "enterprise_number": enterprise.id,
        "host_ip": begun.host,
        "response_time_ms": round(begun.took.total_seconds() * 1000, 1),
        "call": begun.call,
    }
