"""A RetailCRM that only writes down when it was told what: little work between the socket and the clock."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

EVENT = b"POST /api/v5/telephony/call/event "
UPLOAD = b"POST /api/v5/telephony/calls/upload "

LOOKUP = b"GET /api/v5/telephony/manager?"
"""Never answered: whoever waits for it waits as long as he ever would."""

LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes: all that was heard, as one line."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Ring(NamedTuple):
    """One phone that rings for one call."""

    call: str
    extension: str


@dataclass(frozen=True, slots=True)
class Told:
    """*opened*: monotonic seconds at which each popup was asked for. *history*: the calls that were uploaded."""

    opened: Mapping[Ring, Sequence[float]]
    history: frozenset[str]


class Crm:
    """One that runs in a process of its own, so that whoever sends events does not keep it from reading."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self._process = process

    async def told(self) -> Told:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        answer = json.loads(await self._process.stdout.readline())
        opened = {Ring(call, extension): times for call, extension, times in answer["opened"]}
        return Told(opened, frozenset(answer["history"]))


@asynccontextmanager
async def open_crm() -> AsyncIterator[Crm]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.crm"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        limit=LONGEST_ANSWER,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Crm((await process.stdout.readline()).decode().strip(), process)
    finally:
        process.stdin.close()
        await process.wait()


class _Book:
    def __init__(self) -> None:
        self.opened: defaultdict[Ring, list[float]] = defaultdict(list)
        self.history: list[str] = []

    def as_json(self) -> str:
        return json.dumps({"opened": [[*ring, times] for ring, times in self.opened.items()], "history": self.history})

    def answer(self, head: bytes, body: bytes, arrived: float) -> dict[str, object] | None:
        if head.startswith(LOOKUP):
            return None
        form = {name: json.loads(values[0]) for name, values in parse_qs(body.decode()).items()}
        if head.startswith(EVENT):
            event = form["event"]
            if event["type"] == "in":
                for code in event["codes"]:
                    self.opened[Ring(event["callExternalId"], code)].append(arrived)
            return {}
        if head.startswith(UPLOAD):
            self.history += [call["externalId"] for call in form["calls"]]
            return {"processedCallsCount": len(form["calls"]), "duplicateCalls": []}
        raise ValueError(f"not asked for in a bench: {head[:80]!r}")


class _Connection(asyncio.Protocol):
    def __init__(self, book: _Book) -> None:
        self._book = book
        self._unread = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        arrived = time.monotonic()
        self._unread += data
        while (request := self._take_request()) is not None:
            told = self._book.answer(*request, arrived)
            if told is None:
                continue
            answer = json.dumps({"success": True, **told}).encode()
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )

    def _take_request(self) -> tuple[bytes, bytes] | None:
        """Head and body of the oldest request, when it is whole."""
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        if not end:
            return None
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._unread = rest[size:]
        return head, rest[:size]


async def _serve() -> None:
    """Our address as the first line on stdout; then for each line on stdin one with all we heard."""
    book, loop = _Book(), asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    server = await loop.create_server(lambda: _Connection(book), "127.0.0.1", 0)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        while await asked.readline():
            print(book.as_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
