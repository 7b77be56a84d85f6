"""A web server of a PBX that says what it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Says: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Machine:
    """*answers*: path as it comes, still quoted → who answers. *asked*: the first lines and the headers that came."""

    address: str = ""
    answers: dict[str, Says | bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [line.split(" ")[1] for line in self.asked]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            first, _, rest = head.partition("\r\n")
            self.asked.append(first)
            self.headers.append(rest)
            said = self.answers.get(first.split(" ")[1], answer(status="404 Not Found"))
            if isinstance(said, bytes):
                writer.write(said)
            else:
                await said(writer)
            await writer.drain()
        writer.close()


def answer(body: bytes = b"", *, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """*length*: what is said of it, where that is not the truth."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    said = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {said}\r\n{more}\r\n".encode() + body


@asynccontextmanager
async def website(tls: ssl.SSLContext | None = None) -> AsyncIterator[Machine]:
    machine = Machine()
    server = await asyncio.start_server(machine.answer, "127.0.0.1", 0, ssl=tls)
    machine.address = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/rec/"
    try:
        yield machine
    finally:
        server.close()
        if hasattr(server, "abort_clients"):
            server.abort_clients()
