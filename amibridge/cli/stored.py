"""What commands on the database share: the way in, and JSON lines as the answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from amibridge.cli.failure import CommandFailed
from amibridge.cli.ownership import act_as_owner
from amibridge.config import Settings
from amibridge.config.documents import nearest
from amibridge.enterprises import EnterpriseId
from amibridge.log import escape_json
from amibridge.secrets import open_keyring
from amibridge.store.db import DatabaseMissing, open_pool
from amibridge.store.directory import Directory, enterprise_numbers
from amibridge.store.embedded import EmbeddedUnusable
from amibridge.store.opening import open_database

PATIENCE = timedelta(seconds=5)
"""A person waits for a command, unlike systemd for a daemon."""


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """The database the daemon uses, whether it runs or not; root opens it as the owner of the data folder.

    Raises CommandFailed, also for what breaks meanwhile.
    """
    act_as_owner(settings.data_dir)
    try:
        async with (
            open_database(settings.database, settings.data_dir, share=True, patience=PATIENCE) as server,
            open_pool(server.dsn) as pool,
        ):
            yield pool
    except (DatabaseMissing, EmbeddedUnusable) as error:
        raise CommandFailed(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError) as error:
        raise CommandFailed(f"the database failed: {str(error) or type(error).__name__}") from error


@contextlib.asynccontextmanager
async def open_directory(settings: Settings) -> AsyncIterator[Directory]:
    """The enterprises in that database. Raises CommandFailed and what a keyring raises.

    The keyring is opened after the database: one that was made for nothing would be in the way of the right one.
    """
    async with open_store(settings) as pool:
        yield Directory(pool, open_keyring(settings.secrets.key_file, guarded=settings.secrets.guarded))


def unknown(number: EnterpriseId, known: Sequence[EnterpriseId]) -> CommandFailed:
    """That there is no such enterprise, and which one was probably meant."""
    if not known:
        return CommandFailed("there are no enterprises yet: amibridge enterprise apply FILE")
    meant = nearest(number, known)
    return CommandFailed(f"there is no enterprise {number}" + (f"; did you mean {meant}?" if meant else ""))


async def must_be_known(number: EnterpriseId, pool: asyncpg.Pool) -> None:
    """What an enterprise was told outlives it, so this is asked only where nothing was found. Raises CommandFailed."""
    known = await enterprise_numbers(pool)
    if number not in known:
        raise unknown(number, known)


def show(answer: Mapping[str, Any]) -> None:
    """One JSON line on stdout."""
    print(escape_json(json.dumps(answer, ensure_ascii=False)))
