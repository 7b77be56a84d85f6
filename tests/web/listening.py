"""A client of event streams that reads them as browsers do, and knows where it is (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Listener:
    """*events*: what was dispatched, as (id, word, what the JSON says). *last*: what it would come again with.

    *comments*: what was only said to stay. *over*: the stream ended in order; *lost*: it was cut off.
    """

    response: aiohttp.ClientResponse
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    last: str = ""
    retry: int | None = None
    over: bool = False
    lost: bool = False

    @property
    def ids(self) -> list[int]:
        return [number for number, _, _ in self.events]

    @property
    def words(self) -> list[str]:
        return [word for _, word, _ in self.events]

    async def listen(self) -> None:
        """Until it is over, or the connection is lost."""
        lines: list[str] = []
        try:
            async for line in self.response.content:
                text = line.decode().removesuffix("\n")
                if text:
                    lines.append(text)
                else:
                    self._dispatch(lines)
                    lines = []
        except (aiohttp.ClientError, OSError):
            self.lost = True
            return
        self.over = True

    def _dispatch(self, lines: list[str]) -> None:
        word, said = "message", []
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments.append(value)
                case "id":
                    self.last = value
                case "event":
                    word = value
                case "data":
                    said.append(value)
                case "retry":
                    self.retry = int(value)
                case _:
                    raise AssertionError(line)
        if said:
            told = json.loads("\n".join(said))
            assert (told["id"], told["event"]) == (int(self.last), word)
            self.events.append((int(self.last), word, told))


@contextlib.asynccontextmanager
async def listening(
    url: str, token: str, *, after: int | str | None = None, params: Mapping[str, str] | None = None
) -> AsyncIterator[Listener]:
    """Of the site at *url*; fails where that refuses."""
    headers = {"Authorization": f"Bearer {token}"} | ({} if after is None else {"Last-Event-ID": str(after)})
    patience = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with (
        aiohttp.ClientSession(timeout=patience, read_bufsize=2**20) as session,
        session.get(f"{url}/api/v1/events", headers=headers, params=params or {}) as response,
    ):
        if response.status == 503:
            raise aiohttp.ClientConnectionError(await response.text())
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        listener = Listener(response)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(listener.listen(), name="listener")
            try:
                yield listener
            finally:
                work.cancel()


@dataclass
class EventSource:
    """A client that comes again by itself with the last id that it knows, however often it is cut off."""

    url: str
    token: str
    last: str | None = None
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    connections: int = 0

    @property
    def ids(self) -> list[int]:
        return [number for number, _, _ in self.events]

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with listening(self.url, self.token, after=self.last) as listener:
                    self.connections += 1
                    listener.events = self.events
                    try:
                        while not listener.over and not listener.lost:
                            await asyncio.sleep(0.005)
                    finally:
                        self.last = listener.last or self.last
            await asyncio.sleep(0.05)
