"""Names into addresses, for receivers alone.

Law: a name server that does not answer for a receiver's name keeps nobody else waiting. The loop's own threads are few,
and the CRMs' names, recordings and files need them: here each look-up has a thread of its own, which a stop does not
wait for.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class OwnThreads(AbstractResolver):
    """As aiohttp's resolver, which asks for one name once at a time."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=place[0], port=place[1], family=kind, proto=protocol, flags=NUMERIC)
            for kind, _, protocol, _, place in await _looked_up(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing is kept."""


async def _looked_up(host: str, port: int, family: socket.AddressFamily) -> list[Any]:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def tell(places: list[Any] | None, error: Exception | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(places or [])

    def look() -> None:
        places, failed = None, None
        try:
            places = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except (OSError, UnicodeError) as error:
            failed = error if isinstance(error, OSError) else OSError(None, "no name for DNS")
        with suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(tell, places, failed)

    threading.Thread(target=look, name=f"name of {host}", daemon=True).start()
    return await found
