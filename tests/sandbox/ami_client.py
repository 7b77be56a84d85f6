"""Somebody on a plain TCP connection to a sandbox PBX: what it hears is what went over the wire."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from amibridge.ami.wire import END_OF_MESSAGE, read_message
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx import SandboxPbx

Headers = Mapping[str, str]

BOOTED = b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n"
PATIENCE = 20.0
NEVER_FULL = 2**26
"""Bytes: this listener reads everything at once, so no PBX ever waits for it."""

ANSWERED = TRACES / "asterisk22" / "a_inbound_answered_caller_hangup.ami"
ABANDONED = TRACES / "asterisk22" / "d_inbound_caller_abandons.ami"
BUSY = TRACES / "asterisk22" / "e_inbound_busy.ami"
OUTGOING = TRACES / "asterisk16-chan_sip" / "k_outbound_answered_caller_hangup.ami"


class AmiClient:
    """`hears` looks at each event once, in order; `played` has them all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._unheeded: deque[bytes] = deque()
        self._heard = bytearray()

    @property
    def heard(self) -> bytes:
        """Every byte that was no answer to an action, in order."""
        return bytes(self._heard)

    @property
    def played(self) -> bytes:
        """Every byte that was heard once the login was over."""
        return self.heard.partition(BOOTED)[2]

    async def greeting(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readuntil(b"\r\n")

    async def next(self) -> Headers:
        """The next message. Raises IncompleteReadError when the connection ends."""
        return read_message((await self._next()).strip(b"\r\n")).headers

    async def ask(self, action: str, **headers: str) -> Headers:
        """The answer; what is heard meanwhile is kept."""
        headers = {"ActionID": f"ask-{next(self._numbers)}"} | headers
        self.send(f"Action: {action}", *(f"{name}: {value}" for name, value in headers.items()))
        while True:
            raw = await self._next()
            message = read_message(raw.strip(b"\r\n")).headers
            if "Response" in message and message.get("ActionID") == headers["ActionID"]:
                # `Cdr` ends in two blank lines: the second one is an event's, not the answer's.
                self._heard += raw[: len(raw) - len(raw.lstrip(b"\r\n"))]
                return message
            self._hear(raw)

    async def login(self, secret: str = "demo", username: str = "amibridge") -> Headers:
        await self.greeting()
        return await self.ask("Login", Username=username, Secret=secret)

    async def follow(self) -> list[Headers]:
        """Log in and learn what lives, as whoever wants to miss nothing; events follow from here."""
        assert (await self.login())["Response"] == "Success"
        return await self.living()

    async def living(self) -> list[Headers]:
        """What CoreShowChannels lists."""
        answer = await self.ask("CoreShowChannels")
        assert (answer["Response"], answer["EventList"]) == ("Success", "start")
        listed: list[Headers] = []
        while True:
            raw = await self._next()
            message = read_message(raw.strip(b"\r\n")).headers
            if message.get("ActionID") != answer["ActionID"]:
                self._hear(raw)
            elif message["Event"] == "CoreShowChannel":
                listed.append(message)
            else:
                assert message["Event"] == "CoreShowChannelsComplete"
                assert (message["EventList"], message["ListItems"]) == ("Complete", str(len(listed)))
                return listed

    async def hears(self, *wanted: str) -> Headers:
        """The next event that has all these lines."""
        lines = {line.encode() for line in wanted}
        while True:
            if not self._unheeded:
                self._hear(await self._next())
            raw = self._unheeded.popleft()
            if lines <= set(raw.split(b"\r\n")):
                return read_message(raw.strip(b"\r\n")).headers

    async def hears_all(self, pbx: SandboxPbx) -> bytes:
        """All that was heard until everything had been played."""
        async with asyncio.timeout(PATIENCE):
            await pbx.played()
        await self.ask("Ping")
        return self.played

    async def until_end(self) -> bytes:
        """What comes until the connection ends, however it ends."""
        said = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while piece := await self._reader.read(65536):
                    said += piece
        except ConnectionError:
            pass
        return said

    async def piece(self) -> bytes:
        """What has arrived by now, at least something."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(65536)

    def send(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")

    def leave(self) -> None:
        self._writer.transport.abort()

    def _hear(self, raw: bytes) -> None:
        self._heard += raw
        self._unheeded.append(raw)

    async def _next(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readuntil(END_OF_MESSAGE)


def pbx_of(*traces: Path, **options: Any) -> SandboxPbx:
    """As fast as it goes, unless told otherwise."""
    fast: dict[str, Any] = {"speed": math.inf, "gap": 0.0}
    return SandboxPbx(traces, username="amibridge", secret="demo", **(fast | options))


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[AmiClient]:
    """Not logged in yet."""
    reader, writer = await asyncio.open_connection(*address, limit=NEVER_FULL)
    client = AmiClient(reader, writer)
    try:
        yield client
    finally:
        client.leave()


@asynccontextmanager
async def dialled(pbx: SandboxPbx) -> AsyncIterator[AmiClient]:
    """Somebody connected to a PBX that serves as long as he stays."""
    async with pbx.serve() as address, connected(address) as client:
        yield client


def messages(raw: bytes) -> list[Headers]:
    return [read_message(part.strip(b"\r\n")).headers for part in raw.split(END_OF_MESSAGE) if part.strip()]


def named(raw: bytes, event: str) -> list[Headers]:
    """The events of one kind."""
    return [message for message in messages(raw) if message.get("Event") == event]


def values(events: Sequence[Headers], header: str) -> list[str]:
    return [event[header] for event in events]
