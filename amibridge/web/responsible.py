"""`GET /retailcrm/{secret}/responsible`: who should take a call, for a dialplan that asks by CURL().

Laws: as text it is an extension or nothing, whatever went wrong, for CURL() gives the dialplan the body of any answer;
whoever knows no secret learns nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
from aiohttp import web

from amibridge.enterprises import EnterpriseId
from amibridge.responsible.answer import Answer
from amibridge.responsible.revealing import revealed
from amibridge.store.audit import AuditTrail
from amibridge.web.answers import ID, NO_SUCH_ADDRESS, Handler, refusal
from amibridge.web.knocks import Knocks
from amibridge.web.tenants import Tenants
from amibridge.web.visitors import address

log = structlog.get_logger()

Ask: TypeAlias = Callable[[EnterpriseId, str, str | None], Awaitable[Answer]]
"""As `Desks.answer`."""

PATH = "/retailcrm/{secret}/responsible"

LONGEST = 200
"""Characters of a phone or a line that may be one."""


def tell_responsible(tenants: Tenants, ask: Ask, trail: AuditTrail) -> Handler:
    refused = Knocks("responsible_refused")

    async def tell(request: web.Request) -> web.StreamResponse:
        asked = request.query
        as_text = asked.get("format") == "text"
        enterprise = tenants.of_secret(request.match_info["secret"])
        if enterprise is None:
            refused.note(request)
            return _refused(404, "not_found", NO_SUCH_ADDRESS, as_text=as_text)
        phone, line = phone_in(asked.get("phone", "")), asked.get("line")
        if asked.get("format") not in (None, "json", "text"):
            return refusal(400, "bad_request", "`format` is json or text.")
        if "phone" not in asked or len(phone) > LONGEST or len(line or "") > LONGEST:
            return _refused(
                400,
                "bad_request",
                f"`phone`, the caller's number, is needed; neither it nor `line` is longer than {LONGEST}.",
                as_text=as_text,
            )
        try:
            answer = await ask(enterprise.id, phone, line)
        except Exception as error:
            if not as_text:
                raise
            log.error("request_failed", method=request.method, resource=PATH, exc_info=error)
            return web.Response(status=500)
        answer = revealed(trail, enterprise.id, phone, answer, address(request), request[ID])
        log.debug("responsible_told", enterprise=enterprise.id, extension=answer.extension, reason=answer.reason)
        if as_text:
            return web.Response(text=answer.extension or "")
        return web.json_response(
            {
                "success": True,
                "extension": answer.extension,
                "operator": answer.operator,
                "name": answer.shown or None,
                "customer": answer.customer,
                "reason": answer.reason,
            }
        )

    return tell


def phone_in(text: str) -> str:
    """A plus that nobody encoded arrives as a blank."""
    return f"+{text[1:]}" if text.startswith(" ") else text


def _refused(status: int, error: str, detail: str, *, as_text: bool) -> web.Response:
    return web.Response(status=status) if as_text else refusal(status, error, detail)
