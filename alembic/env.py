"""Runs migrations, online only: one connection, one transaction, one migrating process at a time.

The database is the one that AMIBRIDGE_DATABASE__DSN names; whoever migrates says so in the environment, because a
command line can be read by everybody on the machine.
"""

from __future__ import annotations

import asyncio
import os

import asyncpg
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from alembic import context

DSN = os.environ.get("AMIBRIDGE_DATABASE__DSN", "")

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('amibridge migrations', 0))")
OUR_SCHEMA = text("SELECT to_regnamespace('amibridge') IS NOT NULL")


def say_step(*, step: MigrationInfo, **_: object) -> None:
    """`amibridge` reads it: whoever only waited while another process did it has upgraded nothing."""
    print(f"upgraded to {step.up_revision_id}", flush=True)


def upgrade(connection: Connection) -> None:
    context.configure(connection=connection, transactional_ddl=True, on_version_apply=say_step)
    with context.begin_transaction():
        connection.execute(ONE_AT_A_TIME)
        # Asked first: IF NOT EXISTS needs the right to create even where an administrator made the schema.
        if not connection.execute(OUR_SCHEMA).scalar():
            connection.execute(text("CREATE SCHEMA amibridge"))
        context.run_migrations()


def reason(error: DBAPIError) -> str:
    """PostgreSQL's own words."""
    said = error.orig and error.orig.__cause__
    return said.message or str(said) if isinstance(said, asyncpg.PostgresError) else str(error.orig)


async def main() -> None:
    async def connect() -> asyncpg.Connection:
        # asyncpg's own reading of the DSN: sockets, several hosts, password files.
        settings = {"application_name": "amibridge migrations", "search_path": "amibridge"}
        return await asyncpg.connect(DSN, timeout=10, server_settings=settings)

    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=connect)
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations are run against a database: alembic upgrade head, without --sql.")
if not DSN:
    raise SystemExit("AMIBRIDGE_DATABASE__DSN must name the database; or use `amibridge db upgrade`.")
try:
    asyncio.run(main())
except DBAPIError as error:
    # What `amibridge` shows is our last line; SQLAlchemy's own is a link to its manual.
    raise SystemExit(reason(error)) from error
