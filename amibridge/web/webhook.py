"""`/retailcrm/webhook`: a trigger of RetailCRM says that something changed, which is passed on, and answered at once.

Laws: whoever knows no secret is told nothing, not even which enterprise he missed; secrets are compared in constant
time and never logged; nothing is believed but that it is worth asking; neither CRM nor database is waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta

from aiohttp import web

from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.retailcrm.triggers import Hint, client_id_in, read_hint
from amibridge.web.answers import NO_SUCH_ADDRESS, Handler, refusal
from amibridge.web.knocks import Knocks
from amibridge.web.tenants import Tenants

BODY_WITHIN = timedelta(seconds=10)
"""A trigger has a few hundred bytes; who takes longer for them only holds a connection."""

SECRET, SIGNATURE, PREFIX = "X-Webhook-Secret", "X-Signature", "sha256="

_NOBODYS = b"of nobody: so that a stranger's signature takes as long to refuse as a wrong one"


def take_hints(tenants: Tenants, hint: Callable[[EnterpriseId, Hint], None]) -> Handler:
    refused = Knocks("webhook_refused")

    async def take(request: web.Request) -> web.StreamResponse:
        in_path: str | None = request.match_info.get("secret")
        enterprise = tenants.of_secret(request.headers.get(SECRET, "") if in_path is None else in_path)
        if enterprise is None and (in_path is not None or SIGNATURE not in request.headers):
            refused.note(request)
            return _not_found() if in_path is not None else _unauthorized()
        try:
            async with asyncio.timeout(BODY_WITHIN.total_seconds()):
                body = await request.read()
        except TimeoutError:
            return refusal(408, "too_slow", "The request did not arrive in time.", {"Connection": "close"})
        if enterprise is None:
            enterprise = _signer(tenants, request, body)
            if enterprise is None:
                refused.note(request)
                return _unauthorized()
        hint(enterprise.id, read_hint(request.query, body))
        return web.json_response({"success": True})

    return take


def _signer(tenants: Tenants, request: web.Request, body: bytes) -> Enterprise | None:
    """Whose webhook secret signed *body*; nobody's, if there is none: its signature would be good for ever."""
    name = client_id_in(request.query, body)
    enterprise = None if name is None else tenants.of_client_id(name) or tenants.of_number(name)
    secret = enterprise.webhook_secret.encode() if enterprise is not None else b""
    right = hmac.new(secret or _NOBODYS, body, hashlib.sha256).hexdigest()
    given = request.headers.get(SIGNATURE, "").removeprefix(PREFIX).strip().lower()
    is_right = hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogateescape"))
    return enterprise if is_right and secret and body else None


def _not_found() -> web.Response:
    return refusal(404, "not_found", NO_SUCH_ADDRESS)


def _unauthorized() -> web.Response:
    return refusal(401, "unauthorized", "A webhook secret or a signature that we know is needed.")
