"""`/api/transfer`: an operator's customer is handed on, blind or after a question, as other software asks.

Laws: only a GET that somebody means transfers, not a HEAD and not a browser that looks ahead; whoever is not known
learns nothing; neither a secret nor what was refused is logged. Shapes of answers: docs/api.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.transfers import Asked, Done, Step, TransferFailed, TransferRefused, Why
from amibridge.enterprises import Enterprise, Scope
from amibridge.web.access import Gate
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import UNCACHED, TurnedAway, admitted, given, last, legacy_refusal, looks_ahead

Transfer: TypeAlias = Callable[[Enterprise, Asked], Awaitable[Done]]

STATUSES = {
    Why.NO_CALL: 404,
    Why.SEVERAL: 409,
    Why.CONSULTING: 409,
    Why.NOT_CONSULTING: 409,
    Why.BUSY: 409,
    Why.TO_HIMSELF: 400,
    Why.NOT_KEYS: 400,
}


@dataclass(frozen=True, slots=True)
class TransferRoutes:
    """*transfer* makes one. Raises ClickRefused, TransferRefused, TransferFailed."""

    gate: Gate
    transfer: Transfer
    suspects: Knocks = field(default_factory=lambda: Knocks("call_request_suspicious"))

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/transfer", self._transfer, allow_head=False)

    async def _transfer(self, request: web.Request) -> web.StreamResponse:
        try:
            kind, from_, client = given(request, "transfer_type", "from_ext", "clientId")
            step = next((step for step in Step if step == kind), None)
            [to] = given(request, "to_ext") if step is None or step.has_target else [""]
            caller = admitted(self.gate, request, Scope.CALL, client)
        except TurnedAway as away:
            return away.answer
        if step is None:
            return legacy_refusal(400, f"transfer_type must be one of {', '.join(Step)}", error="unknown_transfer_type")
        if looks_ahead(request):
            return legacy_refusal(400, "A browser only looks ahead here.", error=Unasked.PREFETCH)
        enterprise = caller.enterprise
        try:
            done = await self.transfer(enterprise, Asked(step, from_, to, last(request, "call")))
        except ClickRefused as refused:
            caller.did("transfer", "", refused.why)
            if refused.smells:
                self.suspects.note(request, enterprise=enterprise.id, way="transfer", reason=refused.why)
            return legacy_refusal(400, str(refused), error=refused.why)
        except TransferRefused as refused:
            caller.did("transfer", "", refused.why)
            return legacy_refusal(STATUSES[refused.why], str(refused), error=refused.why)
        except TransferFailed as failed:
            caller.did("transfer", "", "failed")
            return legacy_refusal(500, f"Transfer failed: {failed}")
        caller.did("transfer", f"{done.call}: {done.from_} to {done.to}", done.step)
        return web.json_response(_described(enterprise, done), headers=UNCACHED)


def _described(enterprise: Enterprise, done: Done) -> dict[str, Any]:
    return {
        "success": True,
        "message": MESSAGES[done.step],
        "transfer_type": done.step,
        "from_ext": done.from_,
        "to_ext": done.to,
        "enterprise": enterprise.name,
        "enterprise_number": enterprise.id,
        "host_ip": done.host,
        "response_time_ms": round(done.took.total_seconds() * 1000, 1),
        "call": done.call,
    }


MESSAGES = {
    Step.BLIND: "Transferred",
    Step.ATTENDED: "Consultation begun",
    Step.COMPLETE: "Transfer completed",
    Step.CANCEL: "Transfer cancelled",
}
