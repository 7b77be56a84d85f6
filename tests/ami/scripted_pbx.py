"""An AMI server on a real socket that says exactly what a test tells it, and keeps every byte it was told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from amibridge.ami.wire import read_message

OPENING = ("Login", "Filter", "Ping", "CoreShowChannels", "ParkedCalls")
"""What a link asks first, in this order."""

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
BOOTED = b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n"

Headers = Mapping[str, str]


@dataclass
class Visit:
    """One connection, from the PBX's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    actions: list[Headers] = field(default_factory=list)
    told: bytes = b""
    piece: int = 65536

    async def hear(self) -> Headers:
        """The next action. Raises EOFError when the caller has gone."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        self.told += raw
        action = read_message(raw.removesuffix(b"\r\n\r\n")).headers
        self.actions.append(action)
        return action

    def say(self, raw: bytes) -> None:
        """Write *raw*, in segments of `piece` bytes."""
        for start in range(0, len(raw), self.piece):
            self.writer.write(raw[start : start + self.piece])

    def answer(self, action: Headers, response: str = "Success", **headers: str) -> None:
        lines = {"Response": response, "ActionID": action["ActionID"], **headers}
        self.say("".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode() + b"\r\n")

    async def hold(self) -> None:
        """Keep the connection open, and say and read nothing, until the test is over."""
        await asyncio.Event().wait()

    def names(self) -> list[str]:
        return [action["Action"] for action in self.actions]


Talk = Callable[[Visit], Awaitable[None]]


@dataclass
class ScriptedPbx:
    host: str
    port: int
    visits: list[Visit] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def heard(self, name: str) -> list[Headers]:
        """Every action *name* that any connection brought."""
        return [action for visit in self.visits for action in visit.actions if action["Action"] == name]


def polite(
    *,
    before: bytes = b"",
    after: bytes = b"",
    booted: bool = True,
    refuses: Collection[str] = (),
    ignores: Collection[str] = (),
    channels: bytes = b"",
    piece: int = 65536,
) -> Talk:
    """Answers as Asterisk does. *before* is said ahead of the login's answer, *after* once the snapshot is given,
    all in segments of *piece* bytes."""

    async def talk(visit: Visit) -> None:
        visit.piece = piece
        visit.say(GREETING)
        while True:
            action = await visit.hear()
            name = action["Action"]
            if name in ignores:
                continue
            if name in refuses:
                visit.answer(action, "Error", Message="Permission denied")
                continue
            match name:
                case "Login":
                    visit.say(before)
                    visit.answer(action, Message="Authentication accepted")
                    visit.say(BOOTED if booted else b"")
                case "CoreShowChannels":
                    visit.answer(action, EventList="start", Message="Channels will follow")
                    action_id = action["ActionID"].encode()
                    visit.say(channels.replace(b"ACTION-ID", action_id))
                    visit.say(b"Event: CoreShowChannelsComplete\r\nActionID: %s\r\n\r\n" % action_id)
                    visit.say(after)
                case "Logoff":
                    visit.answer(action, "Goodbye", Message="Thanks for all the fish.")
                    return
                case _:
                    visit.answer(action)

    return talk


@contextlib.asynccontextmanager
async def scripted(talk: Talk) -> AsyncIterator[ScriptedPbx]:
    """Serve *talk* to everybody who connects. What goes wrong in it fails the test at the end."""

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(reader, writer)
        pbx.visits.append(visit)
        try:
            await talk(visit)
            await writer.drain()
        except (EOFError, ConnectionError):
            pass  # the caller has gone
        except Exception as fault:
            pbx.faults.append(fault)
        finally:
            writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0, limit=1024 * 1024)
    host, port = server.sockets[0].getsockname()
    pbx = ScriptedPbx(host, port)
    async with server:
        try:
            yield pbx
        finally:
            for visit in pbx.visits:
                visit.writer.transport.abort()
    assert pbx.faults == []
