"""The way into PostgreSQL: connections that know our schema, and SQL that stands in files.

Laws: everything of ours lies in the schema `amibridge`, so a database may be shared with other software; a database
that is away at the start is waited for, and then said to be missing.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

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

DATABASE_FAILURES = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's word for a connection that the server has just begun to end
)
"""Whatever a query, or the way to the database, may raise."""

AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's word for a connection that the server has just begun to end
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidTransactionStateError,  # it became a read-only standby
    # The password, the database, the tables or our rights are gone, or its disk is broken: no fact is to blame.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.PostgresSystemError,
    asyncpg.ConfigFileError,
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
)
"""Of these a statement that is sound: it may be tried again until the database is well."""

UNHURRIED = timedelta(seconds=COMMAND_TIMEOUT)

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
    """One connection to our schema. Raises asyncpg's and the system's errors, DatabaseUnusable for a broken DSN."""
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT, server_settings=SERVER_SETTINGS
        )
    except OSError:
        raise  # a certificate that does not fit is a ValueError, too
    except (ValueError, OverflowError):
        # The words of these errors are pieces of the DSN, such as one half of a password with a # in it.
        raise DatabaseUnusable(
            "the DSN of the database cannot be read: anything but letters and digits in its user and password "
            "must be written as %23 is for #"
        ) from None


async def await_database(dsn: str, patience: timedelta = PATIENCE) -> None:
    """Until the database answers. Raises DatabaseMissing when it does not within *patience*, DatabaseUnusable at once
    when it refuses us or is too old."""
    connection = await _patiently(lambda: connect(dsn), patience, place_of(dsn))
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
        min_size=0,  # with more, asyncpg tries by itself to have them again, and logs a traceback each time
        max_size=CONNECTIONS,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings=SERVER_SETTINGS,
        reset=_leave_as_it_is,
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(CLOSED_WITHIN):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def fetch_within(pool: asyncpg.Pool, within: timedelta, sql: str, *args: Any) -> list[asyncpg.Record]:
    """Rows for somebody who does not wait. Raises TimeoutError when they are not there *within* the time.

    `asyncio.timeout` does not do that: asyncpg gives a connection back only when the server has confirmed that the
    query is cancelled, or when the time given for taking the connection has passed once more.
    """
    whole = within.total_seconds()
    async with pool.acquire(timeout=whole / 4) as connection:
        return await connection.fetch(sql, *args, timeout=whole / 2)


@asynccontextmanager
async def beside_all_else(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
    """A transaction that may get lost when the server crashes: its commit keeps no other one waiting for the disk."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit TO off")
        yield connection


async def _leave_as_it_is(connection: asyncpg.Connection) -> None:
    """We set nothing on a connection that the next one to use it must not find. asyncpg's own way asks the server
    once more after each query, a fifth of what recording a fact takes; open transactions it rolls back all the same."""


NAMED = "of database.dsn"
"""What is said of a database whose name and host cannot be told for sure."""


def place_of(dsn: str) -> str:
    """Which database is meant, for people: its name, host and port, and never its user or password."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return NAMED
    if "@" in parts.path + parts.query + parts.fragment:
        return NAMED  # a password that was not quoted: some of it would be taken for the host
    said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    netloc = parts.netloc.rpartition("@")[2] or ":".join(said[name] for name in ("host", "port") if name in said)
    name = unquote(parts.path.removeprefix("/")) or said.get("dbname") or said.get("database") or ""
    return " at ".join(part for part in (name, netloc) if part) or NAMED


def _reason(error: BaseException) -> str:
    """In the system's words, without the address that asyncio adds: it is said already."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


async def _patiently(attempt: Callable[[], Awaitable[Result]], patience: timedelta, place: str) -> Result:
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience.total_seconds()
    said = False
    while True:
        try:
            found = await attempt()
        except _NOT_THERE_YET as error:
            if clock() >= deadline:
                within = f"{patience.total_seconds():g} s"
                raise DatabaseMissing(f"no database {place} after {within}: {_reason(error)}") from error
            if not said:
                said = True
                log.warning("database_awaited", database=place, reason=_reason(error), at_most=patience)
            await asyncio.sleep(AGAIN)
        except DATABASE_FAILURES as error:
            raise DatabaseUnusable(f"the database {place} cannot be used: {error}") from error
        else:
            if said:
                log.info("database_there")
            return found
