"""`/api/transfer`: an operator's customer is handed on, blind or after a question, as other software asks.

Laws: only a GET that somebody means transfers, not a HEAD and not a browser that looks ahead; whoever is not known
learns nothing; neither a secret nor what was refused is logged. Shapes of answers: docs/api.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from amibridge.calls.transfers import Asked, Done, Step
from amibridge.enterprises import Enterprise, Scope
from amibridge.web.access import Gate
from amibridge.web.handing import Asking, described, suspicious
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import TurnedAway, admitted, given, last, legacy_refusal

Transfer: TypeAlias = Callable[[Enterprise, Asked], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class TransferRoutes:
    """*transfer* makes one. Raises ClickRefused, TransferRefused, TransferFailed."""

    gate: Gate
    transfer: Transfer
    suspects: Knocks = field(default_factory=suspicious)

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
        asked = Asked(step, from_, to, last(request, "call"))
        asking = Asking(request, caller, "transfer", "Transfer failed")
        done = await asking.hears_of(lambda: self.transfer(caller.enterprise, asked), self.suspects)
        if isinstance(done, web.Response):
            return done
        caller.did("transfer", f"{done.call}: {done.from_} to {done.to}", done.step)
        what = {"transfer_type": done.step, "from_ext": done.from_, "to_ext": done.to}
        return described(caller.enterprise, MESSAGES[done.step], what, done)


MESSAGES = {
    Step.BLIND: "Transferred",
    Step.ATTENDED: "Consultation begun",
    Step.COMPLETE: "Transfer completed",
    Step.CANCEL: "Transfer cancelled",
}
