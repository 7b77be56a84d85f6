"""The database: the one that is named, else a private one under the data folder.

Whoever works with it wants its tables to be ours and up to date; whoever only looks at it changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

from amibridge.config import DatabaseSettings
from amibridge.store.db import PATIENCE, DatabaseMissing, await_database
from amibridge.store.embedded import DatabaseServer, is_made, open_embedded
from amibridge.store.migrations import migrate


class DatabaseNotMade(DatabaseMissing):
    """Start the bridge, or apply a file: the private PostgreSQL is made by whoever needs it first."""


@contextlib.asynccontextmanager
async def open_database(
    settings: DatabaseSettings,
    data_dir: Path,
    *,
    share: bool = False,
    patience: timedelta = PATIENCE,
    migrating: Callable[[], object] = lambda: None,
) -> AsyncIterator[DatabaseServer]:
    """*share*: a private server that already runs may be used. *patience*: how long a named one is waited for.
    *migrating*: as `migrate` has it.

    Raises DatabaseMissing, DatabaseUnusable, EmbeddedUnusable.
    """
    async with _server(settings, data_dir, share=share) as server:
        await await_database(server.dsn, patience)
        await migrate(server.dsn, migrating)
        yield server


@contextlib.asynccontextmanager
async def open_as_it_is(
    settings: DatabaseSettings, data_dir: Path, *, patience: timedelta
) -> AsyncIterator[DatabaseServer]:
    """To look at: nothing is made and no table is touched. A private server that has stopped is started meanwhile.

    Raises DatabaseNotMade, DatabaseMissing, DatabaseUnusable, EmbeddedUnusable, OSError.
    """
    if settings.dsn is None and not is_made(data_dir):
        raise DatabaseNotMade(f"there is no private PostgreSQL in {data_dir} yet")
    async with _server(settings, data_dir, share=True) as server:
        await await_database(server.dsn, patience)
        yield server


@contextlib.asynccontextmanager
async def _server(settings: DatabaseSettings, data_dir: Path, *, share: bool) -> AsyncIterator[DatabaseServer]:
    if settings.dsn is not None:
        yield DatabaseServer(settings.dsn)
        return
    async with open_embedded(data_dir, share=share) as server:
        yield server
