"""A bell in the database: a channel that is listened to, and a look now and then, for a notification may get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy


async def rings(connection: PoolConnectionProxy, channel: str, look_anyway: timedelta) -> AsyncGenerator[None]:
    """Yield at once, at each notification and each time *look_anyway* has passed; end when the connection is lost."""
    bell = asyncio.Event()
    bell.set()  # what was told before was not heard

    def ring(*_: object) -> None:
        bell.set()

    try:
        connection.add_termination_listener(ring)
        await connection.add_listener(channel, ring)
        while not connection.is_closed():
            with suppress(TimeoutError):
                async with asyncio.timeout(look_anyway.total_seconds()):
                    await bell.wait()
            bell.clear()
            yield
    finally:
        connection.terminate()  # not UNLISTEN: a server that went silent would hold up our own stop
