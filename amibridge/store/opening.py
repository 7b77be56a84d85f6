"""A database whose tables are ours and up to date: the one that is named, else a private one under the data folder."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from amibridge.config import DatabaseSettings
from amibridge.store.db import PATIENCE, await_database
from amibridge.store.embedded import DatabaseServer, open_embedded
from amibridge.store.migrations import migrate


@contextlib.asynccontextmanager
async def open_database(
    settings: DatabaseSettings, data_dir: Path, *, share: bool = False, patience: timedelta = PATIENCE
) -> AsyncIterator[DatabaseServer]:
    """*share*: a private server that already runs may be used. *patience*: how long a named one is waited for.

    Raises DatabaseMissing, DatabaseUnusable, EmbeddedUnusable.
    """
    async with contextlib.AsyncExitStack() as stack:
        if settings.dsn is None:
            server = await stack.enter_async_context(open_embedded(data_dir, share=share))
        else:
            server = DatabaseServer(settings.dsn)
        await await_database(server.dsn, patience)
        await migrate(server.dsn)
        yield server
