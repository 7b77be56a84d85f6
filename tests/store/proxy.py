"""A TCP way to PostgreSQL that a test can close, cut at a moment of its choice, or let go silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit, urlunsplit


@dataclass(eq=False)
class Proxy:
    """*open*: whether newcomers are let in. *silent*: nothing passes any more, and nobody is told.

    *on_answer*: shown each piece of the server's words before it passes; where it says True, the way is closed instead.
    """

    dsn: str
    open: bool = True
    silent: bool = False
    on_answer: Callable[[bytes], bool] = lambda piece: False
    visits: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Everybody loses the connection now."""
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        """As when the server is stopped."""
        self.open = False
        self.cut()


@asynccontextmanager
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """A way to the database of *dsn*, open until the end of the block."""
    way = Proxy(dsn)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while piece := await reader.read(65536):
                if answers and way.on_answer(piece):
                    way.close()
                while way.silent:
                    await asyncio.sleep(0.01)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way.visits += 1
        if not way.open:
            writer.transport.abort()
            return
        to_reader, to_writer = await _connect(dsn)
        both = {writer, to_writer}
        way._writers |= both
        try:
            await asyncio.gather(carry(reader, to_writer, False), carry(to_reader, writer, True))
        finally:
            way._writers -= both

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    way.dsn = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=""))
    try:
        yield way
    finally:
        way.silent = False
        way.close()
        server.close()
        await server.wait_closed()


async def _connect(dsn: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(dsn)
    places = parse_qs(parts.query)
    if "host" in places and places["host"][0].startswith("/"):
        return await asyncio.open_unix_connection(f"{places['host'][0]}/.s.PGSQL.{places['port'][0]}")
    return await asyncio.open_connection(parts.hostname, parts.port or 5432)
