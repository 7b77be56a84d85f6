"""A RetailCRM to play with: the API as its contract describes it, strict, and a page that shows what operators see.

Laws: first the key, then the rate, then a fault if one was asked for, then the verb; keys are neither logged nor
shown; what was accepted outlives `serve`, so this CRM can be down for a while and come back.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias, assert_never
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from amibridge.redact import HIDDEN
from amibridge.sandbox.crm_account import CrmAccount, SandboxAccount, SandboxUser
from amibridge.sandbox.crm_ask import Ask
from amibridge.sandbox.crm_faults import (
    BadGateway,
    Busy,
    Cut,
    Faults,
    Hang,
    Held,
    Nonsense,
    Partly,
    Slow,
    TelephonyOff,
    Torn,
    WrongKey,
)
from amibridge.sandbox.crm_forms import Refused
from amibridge.sandbox.crm_page import add_page
from amibridge.sandbox.crm_verbs import carry_out
from amibridge.sandbox.crm_witness import Change, SeenRequest, Violation, Witness

__all__ = ["SandboxAccount", "SandboxCrm", "SandboxUser"]

log = structlog.get_logger()

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_BODY = 4 * 1024 * 1024
MAX_FIELDS = 100
EXCERPT = 500
"""Characters of a body that the request log keeps."""

WRONG_KEY = 'Wrong "apiKey" value.'

PARTLY_DONE = 460
"""RetailCRM's status of an upload of which some was taken."""

GRACE = 1.0
"""Seconds that requests under way get when the server closes."""

Query: TypeAlias = Sequence[tuple[str, str]]
LISTED = re.compile(r"(.+)\[[0-9]*\]")
"""The name of one of many values."""

BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>"


class SandboxCrm:
    """Accounts are told apart by their key. *faults*: how to misbehave next."""

    def __init__(self, accounts: Sequence[SandboxAccount]) -> None:
        self._accounts = {account.api_key: CrmAccount(account) for account in accounts}
        if len(self._accounts) != len(accounts) or "" in self._accounts:
            raise ValueError("each account needs a key of its own")
        self.faults = Faults()
        self._witness = Witness()
        self._closing = asyncio.Event()

    @property
    def accounts(self) -> Sequence[CrmAccount]:
        return tuple(self._accounts.values())

    @property
    def requests(self) -> deque[SeenRequest]:
        """The latest requests, in order of arrival."""
        return self._witness.requests

    @property
    def violations(self) -> list[Violation]:
        return self._witness.violations

    def account(self, api_key: str) -> CrmAccount:
        """Raises KeyError for a key no account has."""
        return self._accounts[api_key]

    def listen(self) -> AsyncIterator[Change]:
        """What changes from now on, until the server closes."""
        return self._witness.listen()

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Answers at the address it yields, without a trailing slash. *port* 0 takes a free one."""
        self._closing.clear()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/api/{method:.*}", self._respond)
        add_page(app, self.accounts, self._witness)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            url = f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
            log.info("sandbox_crm_listening", address=url, accounts=len(self._accounts))
            yield url
        finally:
            self._closing.set()
            self._witness.tell(None)
            await runner.cleanup()

    async def _respond(self, request: web.Request) -> web.Response:
        seen = SeenRequest(datetime.now(UTC), asyncio.get_running_loop().time(), request.method, request.path)
        self._witness.requests.append(seen)
        complaint = None
        try:
            response = await self._answer(request, seen)
        except Refused as refusal:
            complaints = [refusal.text, *(f"{name}: {text}" for name, text in refusal.errors.items())]
            complaint = self._without_keys("; ".join(complaints))
            response = web.json_response(refusal.body(), status=refusal.status)
            log.warning("sandbox_crm_refused", path=seen.path, status=refusal.status, because=complaint)
        if response is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        self._witness.answered(seen, response.status, complaint)
        return response

    async def _answer(self, request: web.Request, seen: SeenRequest) -> web.Response | None:
        """None: close the connection instead of an answer."""
        form = await _form(request)
        presented = (request.headers.get("X-API-KEY"), form.pop("apiKey", None), request.query.get("apiKey"))
        query = [(name, value) for name, value in request.query.items() if name != "apiKey"]
        keys = [key for key in presented if key]
        # A key may also stand where none belongs, in a misspelt field.
        seen.excerpt = self._without_keys("&".join(f"{name}={value}" for name, value in form.items()))[:EXCERPT]
        account = self._admit(seen, keys)
        fault = self.faults.take(seen.path, keys[0])
        match fault:
            case Hang() | Cut() | Torn():
                if fault.done:
                    with suppress(Refused):
                        self._carry_out(account, seen, query, form)
                if isinstance(fault, Hang):
                    await self._closing.wait()
                elif isinstance(fault, Torn):
                    await _half_an_answer(request)
                return None
            case Held():
                answer = self._carry_out(account, seen, query, form) if fault.done else None
                await fault.released.wait()
                if answer is not None:
                    return answer
            case Partly():
                return self._take_some(account, seen, form, fault)
            case Slow():
                await asyncio.sleep(fault.seconds)
            case Busy():
                after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                body = {"success": False, "errorMsg": "Service is temporarily unavailable"}
                return web.json_response(body, status=503, headers=after)
            case BadGateway():
                return web.Response(text=BAD_GATEWAY, content_type="text/html", status=502)
            case Nonsense():
                return web.Response(text=fault.body, content_type="application/json")
            case WrongKey():
                raise Refused(403, WRONG_KEY)
            case TelephonyOff():
                raise Refused(400, "Telephony not enabled")
            case None:
                pass
            case _ as never:
                assert_never(never)
        return self._carry_out(account, seen, query, form)

    def _take_some(self, account: CrmAccount, seen: SeenRequest, form: dict[str, str], fault: Partly) -> web.Response:
        calls = json.loads(form.get("calls", "[]"))
        taken = calls[: fault.taken]
        if taken == calls:
            return self._carry_out(account, seen, [], form)
        body: dict[str, Any] = {"success": True, "processedCallsCount": 0, "duplicateCalls": []}
        if taken:
            answer = self._carry_out(account, seen, [], form | {"calls": json.dumps(taken)})
            body = json.loads(answer.text or "")
        if fault.status == PARTLY_DONE:
            body |= {"success": False, "errorMsg": "Calls are loaded with errors"}
        return web.json_response(body, status=fault.status)

    def _without_keys(self, text: str) -> str:
        for key in self._accounts:
            text = text.replace(key, HIDDEN)
        return text

    def _admit(self, seen: SeenRequest, keys: Sequence[str]) -> CrmAccount:
        if not keys:
            raise Refused(400, '"apiKey" is missing.')
        account = self._accounts.get(keys[0])
        if account is None:
            raise Refused(403, WRONG_KEY)
        seen.account = account.account.name
        if not self._witness.within_rate(seen, keys[0]):
            raise Refused(503, "Rate limit exceeded")
        return account

    def _carry_out(self, account: CrmAccount, seen: SeenRequest, query: Query, form: Mapping[str, str]) -> web.Response:
        answer = carry_out(account, seen.method, seen.path, Ask(datetime.now(UTC), {}, _gathered(query), form))
        for change in answer.changes:
            self._witness.tell(change)
        return web.json_response(answer.body, status=answer.status)


def _gathered(query: Query) -> dict[str, str | list[str]]:
    """As PHP reads it: ``ids[]=1&ids[]=2`` and ``ids[0]=1&ids[1]=2`` are a list; of other arguments the last counts."""
    found: dict[str, str | list[str]] = {}
    for name, value in query:
        listed = LISTED.fullmatch(name)
        if listed is None:
            found[name] = value
        else:
            values = found.setdefault(f"{listed[1]}[]", [])
            assert isinstance(values, list)
            values.append(value)
    return found


async def _half_an_answer(request: web.Request) -> None:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "40"})
    await response.prepare(request)
    await response.write(b'{"success": true, "proc')


async def _form(request: web.Request) -> dict[str, str]:
    """Fields of the body; none when it is not a form. Of a field given twice the last counts, as in PHP."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "Request Entity Too Large") from None
    if request.content_type != FORM_TYPE:
        return {}
    try:
        text = body.decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Refused(400, "Errors in the input parameters") from None
