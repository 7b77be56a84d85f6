"""A FastAGI server on a real port, and whoever connects to it: Asterisk as it behaves, and others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
from structlog.testing import capture_logs

from amibridge.agi.server import AgiServer
from amibridge.calls.record import Extension
from amibridge.config import AgiSettings
from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.responsible.answer import Answer, Because, Somebody
from amibridge.store.audit import AuditTrail
from tests.store.enterprises import romashka

ANNA = Answer(Somebody(Extension("101"), Because.RESPONSIBLE, "Анна"), "Москва | Иван", "Иван")
CLIENT = "client-of-0123"

ENVIRONMENT = {
    "agi_network": "yes",
    "agi_network_script": "responsible",
    "agi_request": "agi://127.0.0.1/responsible",
    "agi_channel": "PJSIP/trunk-00000001",
    "agi_language": "en",
    "agi_callerid": "79161234567",
    "agi_calleridname": "unknown",
    "agi_dnid": "74951110001",
    "agi_context": "from-trunk",
    "agi_extension": "74951110001",
    "agi_arg_1": CLIENT,
}
"""As `res_agi` sends it, shortened."""

SOON = timedelta(seconds=60)
AT_ONCE = timedelta(milliseconds=100)


def unwritten(room: int = 100) -> AuditTrail:
    """Rows stay in memory: of a database that is not there, and that nobody asks."""
    return AuditTrail(asyncpg.create_pool("postgresql://127.0.0.1:1/absent"), room)


@dataclass
class Exchange:
    """*within*, *most*, *of_one*: of the server. *asked*: what it wanted to know. *trail*: what it noted."""

    within: timedelta = SOON
    most: int = 100
    of_one: int = 100
    port: int = 0
    answer: Answer | Exception = ANNA
    asked: list[tuple[EnterpriseId, str, str | None]] = field(default_factory=list)
    trail: AuditTrail = field(default_factory=lambda: unwritten())

    async def who(self, number: EnterpriseId, phone: str, line: str | None) -> Answer:
        self.asked.append((number, phone, line))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def whose(self, client: str) -> Enterprise | None:
        return romashka() if client == CLIENT else None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Exchange]:
        settings, limits = AgiSettings("127.0.0.1", 0), {"most": self.most, "of_one": self.of_one}
        server = AgiServer(settings, self.whose, self.who, self.trail, within=self.within, **limits)
        stop, listening = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            with capture_logs() as lines:
                tasks.create_task(server.serve(stop, listening), name="agi under test")
                await listening.wait()
            [line] = [line for line in lines if line["event"] == "agi_listening"]
            self.port = int(line["address"].rpartition(":")[2])
            try:
                yield self
            finally:
                stop.set()

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))

    async def call(self, replies: Mapping[str, str] | None = None, **changes: str | None) -> dict[str, str]:
        """What a channel's dialplan has afterwards. *changes*: of the environment, None for a line that is missing;
        *replies*: to the variable of that name, instead of success."""
        reader, writer = await self.connect()
        found: dict[str, str] = {}
        with suppress(ConnectionResetError), closing(writer):
            said = {name: value for name, value in (ENVIRONMENT | changes).items() if value is not None}
            writer.write("".join(f"{name}: {value}\n" for name, value in said.items()).encode() + b"\n")
            while line := (await _patiently(reader.readline())).decode():
                command = re.fullmatch(r'SET VARIABLE (\w+) "((?:[^"\\\n]|\\.)*)"\n', line)
                assert command is not None, line
                found[command[1]] = re.sub(r"\\(.)", r"\1", command[2])
                writer.write((replies or {}).get(command[1], "200 result=1\n").encode())
        return found

    async def send(self, said: bytes) -> bytes:
        """All that is answered to *said*, until the server leaves."""
        reader, writer = await self.connect()
        with suppress(ConnectionResetError), closing(writer):
            writer.write(said)
            return await _patiently(reader.read())
        return b""  # it left without having read all that was said


async def _patiently(reading: Awaitable[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return await reading
