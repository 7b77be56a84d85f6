"""A system of the enterprise's own, on a real socket: it checks what comes by the manual, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.house.source import ROOT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

Answer = Callable[["Told"], Awaitable[web.StreamResponse | None]]


def manual(language: str) -> str:
    """The snippet of docs/api.md by which receivers know us."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8").partition("## Webhooks of ours")[2]
    [snippet] = re.findall(rf"```{language}\n(.*?)```", text.rpartition("**Is it us?**")[2], re.DOTALL)
    return str(snippet)


def is_ours() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The function of the manual, as it stands there."""
    found: dict[str, Any] = {}
    exec(manual("python"), found)
    check: Callable[[str, Mapping[str, str], bytes], bool] = found["is_ours"]
    return check


@dataclass(frozen=True)
class Told:
    id: str
    event: dict[str, Any]
    headers: Mapping[str, str]
    body: bytes
    path: str


class Receiver:
    """*told*: all that came, whatever was answered; *taken*: what was answered with 2xx. *answer*: None answers 204."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.told: list[Told] = []
        self.taken: list[Told] = []
        self.forged: list[Told] = []
        self.answer: Answer | None = None
        self.at_once = self.most_at_once = 0
        self.in_call: defaultdict[str, int] = defaultdict(int)
        self.overlaps: list[str] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        told = Told(request.headers["webhook-id"], json.loads(body), dict(request.headers), body, request.path_qs)
        lowered = {name.lower(): value for name, value in request.headers.items()}
        if not is_ours()(self.secret, lowered, body):
            self.forged.append(told)
        call = told.event.get("call_id", "")
        self.told.append(told)
        self.at_once += 1
        self.in_call[call] += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.in_call[call] > 1:
            self.overlaps.append(call)
        try:
            answer = None if self.answer is None else await self.answer(told)
        finally:
            self.at_once -= 1
            self.in_call[call] -= 1
        if answer is None or 200 <= answer.status < 300:
            self.taken.append(told)
        return answer or web.Response(status=204)

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
        try:
            yield self
        finally:
            await runner.cleanup()

    def words(self, call: str) -> list[str]:
        """Of one call what was taken, in order, each once."""
        return list(dict.fromkeys(one.event["event"] for one in self.taken if one.event["call_id"] == call))

    def ids(self) -> list[int]:
        return [int(one.id) for one in self.taken]


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that says whatever *talk* writes; its address."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls"
    finally:
        server.close()
