"""Bringing the tables up to date: alembic, in a process of its own, and only when there is something to do.

Alembic brings SQLAlchemy along, 30 MB that a daemon would carry about for ever. The files lie beside the package in a
checkout and under ``share/amibridge`` in an installation.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import structlog

from amibridge.store.db import DATABASE_FAILURES, DatabaseUnusable, connect, place_of

log = structlog.get_logger()

SAID_EVERY = timedelta(seconds=15)
"""That it goes on: an index of some ten million facts takes longer than a supervisor waits for us to start."""

VERSION = "SELECT version_num FROM alembic_version"


async def migrate(dsn: str, going_on: Callable[[], object] = lambda: None) -> None:
    """Bring the schema of the database up to ours. *going_on* is called now and then until that is done.

    Raises DatabaseUnusable when that fails, or when the schema is newer than we are.
    """
    folder = _folder()
    revisions = _revisions(folder)
    version = await _version(dsn)
    newest = revisions[-1]
    if version == newest:
        return
    if version is not None and version not in revisions:
        raise DatabaseUnusable(f"its schema {version} is newer than this amibridge, which knows {newest}: upgrade it")
    if await _upgrade(dsn, folder, going_on):
        log.info("schema_upgraded", before=version, now=newest)


def newest_version() -> str:
    """The version of the schema that we know. Raises DatabaseUnusable when our migrations are not there."""
    return _revisions(_folder())[-1]


async def schema_version(pool: asyncpg.Pool) -> str:
    """The version of a schema that is there."""
    return str(await pool.fetchval(VERSION))


def _folder() -> Path:
    """Where ``alembic.ini`` and ``alembic/`` lie."""
    for folder in (Path(__file__).parents[2], Path(sysconfig.get_path("data")) / "share" / "amibridge"):
        if (folder / "alembic.ini").is_file() and (folder / "alembic" / "versions").is_dir():
            return folder
    raise DatabaseUnusable("the migrations are not where they were installed: install amibridge anew")


def _revisions(folder: Path) -> list[str]:
    """In order: each file's name begins with its revision, a number of four digits."""
    found = sorted(path.name.partition("_")[0] for path in (folder / "alembic" / "versions").glob("[0-9]*.py"))
    if not found:
        raise DatabaseUnusable("the migrations are not where they were installed: install amibridge anew")
    return found


async def _version(dsn: str) -> str | None:
    try:
        connection = await connect(dsn)
        try:
            found = await connection.fetchval(VERSION)
        except asyncpg.UndefinedTableError:
            return None
        finally:
            await connection.close()
    except DATABASE_FAILURES as error:
        raise DatabaseUnusable(f"the database {place_of(dsn)} cannot be used: {error}") from error
    return None if found is None else str(found)


async def _upgrade(dsn: str, folder: Path, going_on: Callable[[], object]) -> bool:
    """Whether it was we: another process may have done it while ours waited for its turn."""
    alembic = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a folder called alembic where we happen to stand is not meant
        "-m",
        "alembic",
        "-c",
        str(folder / "alembic.ini"),
        "upgrade",
        "head",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "AMIBRIDGE_DATABASE__DSN": dsn},
    )
    async with asyncio.TaskGroup() as tasks:
        saying = tasks.create_task(_say(going_on), name="tables are brought up to date")
        output, _ = await alembic.communicate()
        saying.cancel()
    words = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    if alembic.returncode != 0:
        raise DatabaseUnusable(
            f"the tables could not be brought up to date: {words[-1] if words else 'no reason given'}"
        )
    return any(line.startswith("upgraded to ") for line in words)


async def _say(going_on: Callable[[], object]) -> None:
    while True:
        going_on()
        await asyncio.sleep(SAID_EVERY.total_seconds())
