"""Click-to-call: `/api/makecallexternal`, as people's bookmarks know it, and RetailCRM's makeCallUrl.

Laws: only a GET that somebody means places a call, not a HEAD and not a browser that looks ahead; what is refused
changes nothing; whoever is not known learns nothing; neither a secret nor what was refused is logged.
Shapes of answers: docs/api.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from amibridge.calls.clicks import Click, ClickFailed, ClickRefused, Placed, Why
from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Scope
from amibridge.web.access import Caller, Gate
from amibridge.web.answers import refusal
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import UNCACHED, TurnedAway, admitted, given, last, legacy_refusal, looks_ahead
from amibridge.web.tenants import Tenants

Call: TypeAlias = Callable[[Enterprise, Click], Awaitable[Placed]]

KEY = "Idempotency-Key"
LONGEST_KEY = 255

STATUSES = {Why.UNKNOWN_EXTENSION: 400, Why.NO_NUMBER: 400, Why.PREFETCH: 400, Why.KEY_USED: 409}


@dataclass(frozen=True, slots=True)
class ClickRoutes:
    """*call* places one. Raises ClickRefused, ClickFailed."""

    gate: Gate
    tenants: Tenants
    call: Call
    strangers: Knocks = field(default_factory=lambda: Knocks("call_request_refused"))
    suspects: Knocks = field(default_factory=lambda: Knocks("call_request_suspicious"))

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/makecallexternal", self._make_call_external, allow_head=False)
        router.add_get("/retailcrm/{secret}/call", self._make_call, allow_head=False)

    async def _make_call_external(self, request: web.Request) -> web.StreamResponse:
        try:
            code, phone, client = given(request, "code", "phone", "clientId")
            caller = admitted(self.gate, request, Scope.CALL, client)
        except TurnedAway as away:
            return away.answer
        try:
            placed = await self._placed(request, caller, Click(code, phone, "api", key=_key(request)))
        except ClickRefused as refused:
            return legacy_refusal(STATUSES[refused.why], str(refused), error=refused.why)
        except ClickFailed as failed:
            return legacy_refusal(500, f"Call initiation failed: {failed}")
        return web.json_response(_described(caller.enterprise, placed), headers=UNCACHED)

    async def _make_call(self, request: web.Request) -> web.StreamResponse:
        """Asked by RetailCRM when somebody clicks the receiver beside a number."""
        client = self.tenants.of_client_id(last(request, "clientId") or "")
        enterprise = self.tenants.of_secret(request.match_info["secret"])
        if enterprise is None or enterprise is not client:
            self.strangers.note(request)
            return refusal(401, "unknown_account", "No account of ours is known by that.")
        code = (last(request, "code") or "").strip() or _extension_of(enterprise, last(request, "userId") or "")
        if not code:
            return refusal(400, "no_extension", "This user has no extension.")
        line = last(request, "externalPhone")
        click = Click(code, last(request, "phone") or "", "retailcrm", line, _key(request))
        try:
            await self._placed(request, self.gate.known(request, enterprise, "retailcrm"), click)
        except ClickRefused as refused:
            return refusal(STATUSES[refused.why], refused.why, str(refused))
        except ClickFailed as failed:
            return refusal(500, "call_failed", f"Call initiation failed: {failed}")
        return web.Response(text="OK", headers=UNCACHED)

    async def _placed(self, request: web.Request, caller: Caller, click: Click) -> Placed:
        try:
            placed = await self._asked_to_place(request, caller.enterprise, click)
        except ClickRefused as refused:
            caller.did("call", "", refused.why)
            raise
        except ClickFailed:
            caller.did("call", f"{click.code} to {click.phone}", "failed")
            raise
        caller.did("call", f"{placed.extension} to {placed.number}", "placed")
        return placed

    async def _asked_to_place(self, request: web.Request, enterprise: Enterprise, click: Click) -> Placed:
        if looks_ahead(request):
            raise ClickRefused(Why.PREFETCH, "A browser only looks ahead here; nobody has clicked yet.")
        try:
            return await self.call(enterprise, click)
        except ClickRefused as refused:
            if refused.smells:
                self.suspects.note(request, enterprise=enterprise.id, way=click.way, reason=refused.why)
            raise


def _key(request: web.Request) -> str | None:
    """A longer one is none: nobody keeps it for whoever sends it."""
    key = request.headers.get(KEY, "")
    return key if 0 < len(key) <= LONGEST_KEY else None


def _extension_of(enterprise: Enterprise, user: str) -> Extension | None:
    """The extension of RetailCRM's *user*; of several, the first."""
    return min((one.extension for one in enterprise.operators.values() if str(one.user) == user.strip()), default=None)


def _described(enterprise: Enterprise, placed: Placed) -> dict[str, Any]:
    body: dict[str, Any] = {
        "success": True,
        "message": "Call initiated",
        "enterprise": enterprise.name,
        "enterprise_number": enterprise.id,
        "from_ext": placed.extension,
        "to_phone": placed.number,
        "host_ip": placed.host,
        "response_time_ms": round(placed.took.total_seconds() * 1000, 1),
        "display_name": placed.name or "",
        "call": placed.call,
    }
    if placed.name is not None:
        # The CRM's mirror keeps a name in one piece, so it stands where readers look first.
        body["customer"] = {
            "first_name": placed.name,
            "last_name": "",
            "middle_name": "",
            "enterprise_name": "",
            "phone_e164": placed.phone,
            "person_uid": str(placed.customer),
            "source_type": "retailcrm",
            "display_name": placed.name,
        }
    return body
