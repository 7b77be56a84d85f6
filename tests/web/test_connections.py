"""One visitor holds a part of the connections, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.store.db import open_pool
from amibridge.web import connection
from tests.web.serving import Site, serving

QUESTION = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def pool() -> AsyncIterator[asyncpg.Pool]:
    """Nothing here asks a database."""
    async with open_pool("postgresql://127.0.0.1:1/absent") as pool:
        yield pool


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST", 8)
    monkeypatch.setattr(connection, "MOST_OF_ONE", 3)


@dataclass
class Crowd:
    """Connections that are kept open until the end, each from an address of its own choice."""

    site: Site
    open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def comes(self, source: str, said: bytes = QUESTION) -> bool:
        """Whether he is answered; else he was closed at once."""
        both = await asyncio.open_connection(self.site.host, self.site.port, local_addr=(source, 0))
        self.open.append(both)
        both[1].write(said)
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                return not said or (await both[0].readline()).startswith(b"HTTP/1.1 200 ")
        return False


@asynccontextmanager
async def crowding(pool: asyncpg.Pool, **settings: Any) -> AsyncIterator[Crowd]:
    async with serving(pool, **settings) as site:
        crowd = Crowd(site)
        try:
            yield crowd
        finally:
            for _, writer in crowd.open:
                writer.close()


async def test_one_address_does_not_take_all(pool: asyncpg.Pool) -> None:
    async with crowding(pool) as crowd:
        with capture_logs() as lines:
            assert [await crowd.comes("127.0.0.2") for _ in range(9)] == [True] * 3 + [False] * 6
        said: list[Any] = [line for line in lines if line["event"] == "connection_closed_at_once"]
        assert [(line["peer"], line["open"], line["times"]) for line in said] == [("127.0.0.2", 3, 1)]
        assert await crowd.comes("127.0.0.3")
        assert (await crowd.site.ask("/health/live")).status == 200


async def test_whoever_leaves_may_come_again(pool: asyncpg.Pool) -> None:
    async with crowding(pool) as crowd:
        assert [await crowd.comes("127.0.0.2") for _ in range(4)] == [True] * 3 + [False]
        crowd.open[0][1].transport.abort()
        async with asyncio.timeout(60):
            while not await crowd.comes("127.0.0.2"):
                await asyncio.sleep(0.01)


async def test_a_proxy_may_hold_all_and_no_more(pool: asyncpg.Pool) -> None:
    async with crowding(pool, trusted_proxies=["127.0.0.2/32"]) as crowd:
        assert [await crowd.comes("127.0.0.2") for _ in range(10)] == [True] * 8 + [False] * 2


async def test_those_who_say_nothing_count(pool: asyncpg.Pool) -> None:
    async with crowding(pool) as crowd:
        for _ in range(3):
            await crowd.comes("127.0.0.2", b"")
        assert not await crowd.comes("127.0.0.2")
        assert await crowd.comes("127.0.0.3")
