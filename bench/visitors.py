"""Visitors of the side server, in a process of their own: each asks at his moment, whether others are answered or not.

Laws: a time runs from the moment at which a visitor meant to ask, so what is late here is counted, too; a connection
serves one question at a time and is kept for the next one, unless whoever asks keeps none; an answer of another status
than expected, or without the words expected in it, is wrong.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

ANSWERED_WITHIN = 30.0
"""Seconds after the last question; what is not answered then never is."""

LONGEST_RESULT = 64 * 1024 * 1024
"""Bytes: all times, as one line."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_NEXT = re.compile(rb'"next": ?"([^"]+)"')
CURSOR = "{cursor}"
"""In a path: the end of the page that was asked for last by the same *reader*, of a first page nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """*at*: seconds after the start. *source*: the loopback address it comes from. *status*, *words*: of a right
    answer. *alone*: on a connection of its own. *reader*: whose pages these are."""

    at: float
    kind: str
    path: str
    source: str
    status: int = 200
    words: str = ""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    alone: bool = False
    reader: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """*times*: ms of every right answer, by its kind, in the order of the questions. *wrong*: what else came.
    *late*: ms by which questions left later than they were meant to. *connections*: that were made."""

    times: dict[str, list[tuple[float, float]]]
    wrong: list[str]
    late: list[float]
    connections: int


class Visitors:
    """Those of one process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self) -> Heard:
        """Begin now; when all is answered, what they heard."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        told = await self._process.stdout.readline()
        if not told:
            raise RuntimeError("those who ask have died")
        return Heard(**json.loads(told))


@asynccontextmanager
async def open_visitors(url: str, questions: Sequence[Question]) -> AsyncIterator[Visitors]:
    """They stand ready, and wait to be let loose."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.visitors", url.removeprefix("http://")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        limit=LONGEST_RESULT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps([asdict(one) for one in questions]).encode() + b"\n")
        await process.stdin.drain()
        await process.stdout.readline()
        yield Visitors(process)
    finally:
        process.stdin.close()
        await process.wait()


class _Line(asyncio.Protocol):
    """One connection, and the question on it."""

    def __init__(self, crowd: _Crowd, source: str) -> None:
        self._crowd = crowd
        self._source = source
        self._question: Question | None = None
        self._meant = 0.0
        self._transport: asyncio.Transport | None = None
        self._restart()

    def _restart(self) -> None:
        self._head = b""
        self._pieces: list[bytes] = []
        self._left = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only behaves like one

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, question: Question, meant: float, raw: bytes) -> None:
        assert self._transport is not None
        self._question, self._meant = question, meant
        self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head)
            self._left = int(length[1]) if length and self._question and self._question.method != "HEAD" else 0
        self._pieces.append(data)
        self._left -= len(data)
        if self._left <= 0:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if (question := self._question) is not None:
            self._question = None
            self._crowd.hear(question, self._meant, 0, b"", self)

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        question, status, body = self._question, int(self._head[9:12]), b"".join(self._pieces)
        self._question = None
        self._restart()
        assert question is not None
        self._crowd.hear(question, self._meant, status, body, self)


class _Crowd:
    def __init__(self, place: str, questions: Sequence[Question]) -> None:
        self._place = place
        self._host, _, self._port = place.rpartition(":")
        self._questions = questions
        self._idle: defaultdict[str, list[_Line]] = defaultdict(list)
        self._pages: dict[str, str] = {}
        self._unanswered = len(questions)
        self._done = asyncio.Event()
        self._begun = 0.0
        self._heard = Heard({}, [], [], 0)
        self._connections = 0

    async def ask(self) -> str:
        """All questions at their moments; what was heard, as JSON."""
        self._begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, question in enumerate(self._questions):
                meant = self._begun + question.at
                if (early := meant - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                self._heard.late.append((time.monotonic() - meant) * 1000)
                if (line := self._idle_line(question)) is not None:
                    line.ask(question, meant, self._raw(question))
                else:
                    tasks.create_task(self._ask_anew(question, meant), name=f"question {number}")
        try:
            async with asyncio.timeout(ANSWERED_WITHIN):
                await self._done.wait()
        except TimeoutError:
            self._heard.wrong.append(f"{self._unanswered} never answered")
        return json.dumps({**asdict(self._heard), "connections": self._connections})

    def hear(self, question: Question, meant: float, status: int, body: bytes, line: _Line) -> None:
        took = time.monotonic() - meant
        if status != question.status or question.words.encode() not in body:
            self._heard.wrong.append(f"{question.kind}: {status or 'no answer'} {body[:80].decode('utf-8', 'replace')}")
        else:
            self._heard.times.setdefault(question.kind, []).append((question.at, took * 1000))
        if question.reader:
            found = _NEXT.search(body)
            self._pages[question.reader] = "" if found is None else f"&cursor={found[1].decode()}"
        if question.alone:
            line.leave()
        elif line.is_open:
            self._idle[question.source].append(line)
        self._unanswered -= 1
        if self._unanswered == 0:
            self._done.set()

    def _idle_line(self, question: Question) -> _Line | None:
        idle = self._idle[question.source]
        while idle and not question.alone:
            if (line := idle.pop()).is_open:
                return line
        return None

    async def _ask_anew(self, question: Question, meant: float) -> None:
        self._connections += 1
        loop, source = asyncio.get_running_loop(), question.source
        line = _Line(self, source)
        try:
            await loop.create_connection(lambda: line, self._host, int(self._port), local_addr=(source, 0))
        except OSError as error:
            self.hear(question, meant, 0, str(error).encode(), line)
            return
        line.ask(question, meant, self._raw(question))

    def _raw(self, question: Question) -> bytes:
        path = question.path.replace(CURSOR, self._pages.get(question.reader, ""))
        headers = {"Host": self._place, **question.headers}
        if question.body:
            headers["Content-Length"] = str(len(question.body))
        if question.alone:
            headers["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{question.method} {path} HTTP/1.1\r\n{lines}\r\n{question.body}".encode()


async def _serve(place: str) -> None:
    """The questions as the first line on stdin; when the second comes, they are asked, and a line tells what came."""
    reader = asyncio.StreamReader(limit=LONGEST_RESULT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd = _Crowd(place, [Question(**one) for one in json.loads(await reader.readline())])
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    if await reader.readline():
        print(await crowd.ask(), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
