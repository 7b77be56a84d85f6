"""A RetailCRM that only writes down when it was told what: little work between the socket and the clock.

Everybody who calls is a customer of it already; nobody ever changes anything there. It answers as late as it is told.
"""

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
from urllib.parse import parse_qs, urlsplit

EVENT = b"POST /api/v5/telephony/call/event "
UPLOAD = b"POST /api/v5/telephony/calls/upload "
LOOKUP = b"GET /api/v5/telephony/manager?"
TELEPHONY = b"/telephony/"

NOTHING: dict[str, object] = {
    "pagination": {"limit": 100, "totalCount": 0, "currentPage": 1, "totalPageCount": 1},
    **{name: [] for name in ("scopes", "history", "customers", "orders", "statuses")},
}
"""To whatever else is asked."""

LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes: all that was heard, as one line."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Ring(NamedTuple):
    """One phone that rings for one call."""

    call: str
    extension: str


@dataclass(frozen=True, slots=True)
class Told:
    """*opened*: monotonic seconds at which each popup was asked for. *history*: the calls that were uploaded,
    *uploads*: when. *telephony*, *ordinary*: when each request of these limits arrived."""

    opened: Mapping[Ring, Sequence[float]]
    history: frozenset[str]
    uploads: Sequence[float]
    telephony: Sequence[float]
    ordinary: Sequence[float]


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
        times = (answer["uploads"], answer["telephony"], answer["ordinary"])
        return Told(opened, frozenset(answer["history"]), *times)


@asynccontextmanager
async def open_crm(answers_after: float | None = 0.0) -> AsyncIterator[Crm]:
    """*answers_after*: seconds; None, never."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.crm", "never" if answers_after is None else str(answers_after)),
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
        self.uploads: list[float] = []
        self.telephony: list[float] = []
        self.ordinary: list[float] = []

    def as_json(self) -> str:
        opened = [[*ring, times] for ring, times in self.opened.items()]
        times = {"uploads": self.uploads, "telephony": self.telephony, "ordinary": self.ordinary}
        return json.dumps({"opened": opened, "history": self.history, **times})

    def answer(self, head: bytes, body: bytes, arrived: float) -> dict[str, object]:
        (self.telephony if TELEPHONY in head.partition(b"?")[0] else self.ordinary).append(arrived)
        form = {name: json.loads(values[0]) for name, values in parse_qs(body.decode()).items()}
        if head.startswith(EVENT):
            event = form["event"]
            if event["type"] == "in":
                for code in event["codes"]:
                    self.opened[Ring(event["callExternalId"], code)].append(arrived)
            return {}
        if head.startswith(UPLOAD):
            self.uploads.append(arrived)
            self.history += [call["externalId"] for call in form["calls"]]
            return {"processedCallsCount": len(form["calls"]), "duplicateCalls": []}
        if head.startswith(LOOKUP):
            phone = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)["phone"][0]
            return {"customer": {"id": 1, "phones": [{"number": phone}]}}
        if head.startswith(b"GET "):
            return NOTHING
        raise ValueError(f"not asked for in a bench: {head[:80]!r}")


class _Connection(asyncio.Protocol):
    def __init__(self, book: _Book, answers_after: float | None) -> None:
        self._book = book
        self._answers_after = answers_after
        self._unread = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        arrived = time.monotonic()
        self._unread += data
        while (request := self._take_request()) is not None:
            answer = json.dumps({"success": True, **self._book.answer(*request, arrived)}).encode()
            if self._answers_after == 0:
                self._write(answer)
            elif self._answers_after is not None:
                asyncio.get_running_loop().call_later(self._answers_after, self._write, answer)

    def _write(self, answer: bytes) -> None:
        assert self._transport is not None
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
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


async def _serve(answers_after: float | None) -> None:
    """Our address as the first line on stdout; then for each line on stdin one with all we heard."""
    book, loop = _Book(), asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    server = await loop.create_server(lambda: _Connection(book, answers_after), "127.0.0.1", 0)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        while await asked.readline():
            print(book.as_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(None if sys.argv[1] == "never" else float(sys.argv[1])))
