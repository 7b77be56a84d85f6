"""`POST /api/callevent/getcustomerdata`: the question that the dialplans of an older bridge ask during a call.

Laws: they do not read JSON but cut it at fixed places, so every byte counts: keys in this order, no blanks, raw UTF-8,
nothing in the name that ends a word; what is shorter than 30 characters is "no answer" to them, and the call goes its
normal way. So whatever goes wrong here, the body is the one of 27 characters.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import assert_never

import structlog
from aiohttp import web

from amibridge.enterprises import Enterprise, EnterpriseId, ResponsibleMode
from amibridge.responsible.answer import Answer
from amibridge.responsible.naming import dialplan
from amibridge.responsible.revealing import revealed
from amibridge.store.audit import AuditTrail
from amibridge.web.access import Gate
from amibridge.web.answers import ID, Handler, Refused
from amibridge.web.knocks import Knocks
from amibridge.web.responsible import LONGEST, Ask, phone_in
from amibridge.web.visitors import address

log = structlog.get_logger()

LEGACY_PATH = "/api/callevent/getcustomerdata"

NO_ANSWER = b'{"Name":"","DialPlan":null}'
"""27 characters."""

BODY_WITHIN = timedelta(seconds=1)
"""The caller hears nothing meanwhile."""


def compact(name: str, context: str | None) -> bytes:
    """*name*: as `naming.shown` makes it. *context*: where the dialplan goes; None for its normal way."""
    quoted = "null" if context is None else f'"{context}"'
    return f'{{"Name":"{name}","DialPlan":{quoted}}}'.encode()


def answer_legacy_dialplan(gate: Gate, ask: Ask, trail: AuditTrail) -> Handler:
    refused = Knocks("responsible_refused")

    def noting(request: web.Request) -> Ask:
        async def ask_and_note(enterprise: EnterpriseId, phone: str, line: str | None) -> Answer:
            found = await ask(enterprise, phone, line)
            return revealed(trail, enterprise, phone, found, address(request), request[ID])

        return ask_and_note

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            enterprise = gate.whose_client_id(request, request.headers.get("Token", ""))
        except Refused as hasty:
            return _said(hasty.status, NO_ANSWER)
        if enterprise is None:
            refused.note(request)
            return _said(401, NO_ANSWER)
        try:
            async with asyncio.timeout(BODY_WITHIN.total_seconds()):
                asked = _asked(await request.read())
            return _said(200, await _answer(enterprise, asked, noting(request)))
        except TimeoutError:
            return _said(408, NO_ANSWER)
        except web.HTTPException as error:
            return _said(error.status, NO_ANSWER)
        except ValueError:
            return _said(400, NO_ANSWER)
        except Exception as error:
            log.error("request_failed", method=request.method, resource=LEGACY_PATH, exc_info=error)
            return _said(500, NO_ANSWER)

    return answer


async def _answer(enterprise: Enterprise, asked: Mapping[str, str], ask: Ask) -> bytes:
    match enterprise.responsible.mode:
        case ResponsibleMode.OFF:
            return NO_ANSWER
        case ResponsibleMode.NAME | ResponsibleMode.ROUTE as mode:
            line = asked["TrunkId"]
            found = await ask(enterprise.id, phone_in(asked["Phone"]), line)
            wanted = mode is ResponsibleMode.ROUTE and asked["LoadDialPlan"].lower() == "true"
            context = dialplan(enterprise, found.extension, line) if wanted and found.extension is not None else None
            log.debug("responsible_told", enterprise=enterprise.id, extension=found.extension, reason=found.reason)
            return compact(found.shown, context)
        case _ as never:
            assert_never(never)


def _asked(body: bytes) -> Mapping[str, str]:
    """Raises ValueError for what is no such question."""
    try:
        said = json.loads(body)
    except RecursionError:
        said = None
    if not isinstance(said, dict):
        raise ValueError("no JSON object")
    found = {}
    for name in ("Phone", "TrunkId", "LoadDialPlan"):
        value = said.get(name, "")
        if not isinstance(value, str | int) or len(text := str(value)) > LONGEST:
            raise ValueError(f"{name} is no text")
        found[name] = text
    return found


def _said(status: int, body: bytes) -> web.Response:
    headers = {"Connection": "close"} if status == 408 else None
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)
