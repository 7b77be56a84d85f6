"""A CRM on a real socket that answers as told, remembers what it heard and when, and keeps each call once."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from amibridge.retailcrm.replies import REQUIRED_SCOPES

EVENT = "/api/v5/telephony/call/event"
UPLOAD = "/api/v5/telephony/calls/upload"
SETTINGS = "/api/v5/settings"
MANAGER = "/api/v5/telephony/manager"
CUSTOMERS = "/api/v5/customers"
CREATE = "/api/v5/customers/create"
CREDENTIALS = "/api/credentials"

Answer = Callable[[], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Heard:
    at: float
    key: str
    path: str
    said: Any

    @property
    def names(self) -> list[str]:
        """Calls of an upload, or the call of an event."""
        if self.path == UPLOAD:
            return [call["externalId"] for call in self.said]
        return [self.said["callExternalId"]] if self.path == EVENT else []


@dataclass
class ScriptedCrm:
    """*keys*: those let in. *script*: answers to give instead of the usual one, by path or key, in order.

    *asked_rights*: keys that asked what they may do, which is no delivery and stands in no other list.
    """

    keys: set[str] = field(default_factory=lambda: {"key-of-account-one"})
    delay: float = 0.0
    zone: str = "Europe/Moscow"
    unknown_codes: set[str] = field(default_factory=set)
    unknown_users: set[int] = field(default_factory=set)
    refused_calls: set[str] = field(default_factory=set)
    breaking_calls: set[str] = field(default_factory=set)
    script: defaultdict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Answer] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    calls: defaultdict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    duplicates: int = 0
    customers: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    scopes: Sequence[str] = (*REQUIRED_SCOPES, "order_write")
    asked_rights: list[str] = field(default_factory=list)

    def of(self, path: str, key: str | None = None) -> list[Heard]:
        return [heard for heard in self.heard if heard.path == path and key in (None, heard.key)]

    def types(self, call: str) -> list[str]:
        """Event types heard about a call, in order, and `history` for its upload."""
        return [
            "history" if heard.path == UPLOAD else heard.said["type"] for heard in self.heard if call in heard.names
        ]

    def busiest_second(self, key: str, *paths: str) -> int:
        times = [heard.at for heard in self.heard if heard.key == key and heard.path in paths]
        return max((sum(1 for at in times[i:] if at < start + 1.0) for i, start in enumerate(times)), default=0)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            await server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at = asyncio.get_running_loop().time()
        form = await request.post()
        key, path = request.headers["X-API-KEY"], request.path
        if path == CREDENTIALS:
            return await self._rights(key)
        said: Any = next((json.loads(str(form[name])) for name in ("event", "calls", "customer") if name in form), None)
        self.heard.append(Heard(at, key, path, said))
        if self.delay:
            await asyncio.sleep(self.delay)
        for name in (path, key):
            if self.script[name]:
                return await self.script[name].popleft()()
            if name in self.always:
                return await self.always[name]()
        if key not in self.keys:
            return refusal(403, 'Wrong "apiKey" value.')
        if path == SETTINGS:
            return web.json_response({"success": True, "settings": {"timezone": {"value": self.zone}}})
        if path == EVENT:
            users = [user for user in said.get("userIds", []) if user in self.unknown_users]
            unknown = [code for code in said.get("codes", []) if code in self.unknown_codes]
            return web.json_response({"success": True, "notExistCodes": unknown, "notExistUsers": users})
        if path == UPLOAD:
            return self._upload(key, said)
        if path == MANAGER:
            found = self._having(key, request.query["phone"])
            return web.json_response({"success": True, **({"customer": found[0]} if found else {})})
        if path == CUSTOMERS:
            found = self._having(key, request.query["filter[name]"])
            return web.json_response({"success": True, "pagination": {"totalPageCount": 1}, "customers": found})
        if path == CREATE:
            return self._create(key, said)
        if path.startswith(f"{CUSTOMERS}/"):
            known = [one for one in self.customers[key] if one["externalId"] == path.rpartition("/")[2]]
            return web.json_response({"success": True, "customer": known[0]}) if known else refusal(404, "Not found")
        return refusal(404, "API method not found")

    def _having(self, key: str, phone: str) -> list[dict[str, Any]]:
        return [one for one in self.customers[key] if any(phone[-10:] in has["number"] for has in one["phones"])]

    def _create(self, key: str, customer: dict[str, Any]) -> web.Response:
        if any(one["externalId"] == customer["externalId"] for one in self.customers[key]):
            return refusal(400, "Customer with externalId exists")
        self.customers[key].append({"id": len(self.customers[key]) + 1, **customer})
        return web.json_response({"success": True, "id": len(self.customers[key])}, status=201)

    async def _rights(self, key: str) -> web.StreamResponse:
        self.asked_rights.append(key)
        if CREDENTIALS in self.always:
            return await self.always[CREDENTIALS]()
        if key not in self.keys:
            return refusal(403, 'Wrong "apiKey" value.')
        return web.json_response({"success": True, "scopes": list(self.scopes), "siteAccess": "access_full"})

    def _upload(self, key: str, calls: list[dict[str, Any]]) -> web.Response:
        if len(calls) > 50 or any(call["externalId"] in self.refused_calls for call in calls):
            return refusal(400, "Errors in the entity format")
        if any(call["externalId"] in self.breaking_calls for call in calls):
            return web.Response(status=500, text="<html>oops</html>", content_type="text/html")
        known = [call["externalId"] for call in calls if call["externalId"] in self.calls[key]]
        for call in calls:
            self.calls[key].setdefault(call["externalId"], call)
        self.duplicates += len(known)
        return web.json_response(
            {"success": True, "processedCallsCount": len(calls) - len(known), "duplicateCalls": known}
        )


def refusal(status: int, text: str) -> web.Response:
    return web.json_response({"success": False, "errorMsg": text}, status=status)


def busy(retry_after: str | None = None) -> Answer:
    async def answer() -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return web.json_response({"success": False, "errorMsg": "Rate limit exceeded"}, status=503, headers=headers)

    return answer


async def html() -> web.StreamResponse:
    return web.Response(status=502, text="<html><body>Bad Gateway</body></html>", content_type="text/html")


async def nonsense() -> web.StreamResponse:
    return web.Response(text='{"success": ', content_type="application/json")


def hang(until: asyncio.Event) -> Answer:
    async def answer() -> web.StreamResponse:
        await until.wait()
        return web.json_response({"success": True})

    return answer


def says(status: int, text: str) -> Answer:
    async def answer() -> web.StreamResponse:
        return refusal(status, text)

    return answer
