"""The way into PostgreSQL: connections that know our schema, and SQL that stands in files.

Laws: everything of ours lies in the schema `amibridge`, so a database may be shared with other software; a database
that is away at the start is waited for, and then said to be missing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg
import structlog

log = structlog.get_logger()

Result = TypeVar("Result")

OLDEST = 14
"""The oldest PostgreSQL whose SQL we keep to."""

PATIENCE = timedelta(seconds=45)
"""How long a missing database is waited for: less than systemd waits for us to start."""

AGAIN = 0.5  # seconds between two tries

CONNECTIONS = 10
CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT = 60.0
"""Seconds. A server that was cut off without a word would otherwise be waited for until TCP gives up, for minutes."""

CLOSED_WITHIN = 1.0

SERVER_SETTINGS = {"application_name": "amibridge", "search_path": "amibridge", "timezone": "UTC"}

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)

_NOT_THERE_YET = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.TooManyConnectionsError,
)


class DatabaseMissing(Exception):
    """Stop and start again later: there is no usable database. The text says why, and never holds the password."""


class DatabaseUnusable(DatabaseMissing):
    """Stop until a person has looked: the database answers and is not one we can work with."""


def load_queries(module: str) -> dict[str, str]:
    """The named queries of the file beside *module* (its ``__file__``); see any of these files for their form."""
    text = Path(module).with_suffix(".sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


async def connect(dsn: str) -> asyncpg.Connection:
    """One connection to our schema. Raises asyncpg's and the system's errors."""
    return await asyncpg.connect(
        dsn, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT, server_settings=SERVER_SETTINGS
    )


async def await_database(dsn: str, patience: timedelta = PATIENCE) -> None:
    """Until the database answers. Raises DatabaseMissing when it does not within *patience*, DatabaseUnusable at once
    when it refuses us or is too old."""
    connection = await _patiently(lambda: connect(dsn), patience)
    try:
        version = connection.get_server_version()
        if version.major < OLDEST:
            raise DatabaseUnusable(f"PostgreSQL {version.major} is too old: {OLDEST} or newer is needed")
    finally:
        await connection.close()


@asynccontextmanager
async def open_pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool of connections, made as they are needed; closed within `CLOSED_WITHIN`, whatever they are doing."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=CONNECTIONS,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings=SERVER_SETTINGS,
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(CLOSED_WITHIN):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _patiently(attempt: Callable[[], Awaitable[Result]], patience: timedelta) -> Result:
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience.total_seconds()
    said = False
    while True:
        try:
            found = await attempt()
        except _NOT_THERE_YET as error:
            reason = str(error) or type(error).__name__
            if clock() >= deadline:
                raise DatabaseMissing(f"no database after {patience.total_seconds():g} s: {reason}") from error
            if not said:
                said = True
                log.warning("database_awaited", reason=reason, at_most=patience)
            await asyncio.sleep(AGAIN)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise DatabaseUnusable(f"the database cannot be used: {error}") from error
        else:
            if said:
                log.info("database_there")
            return found
