"""Our schema made from the file that people read, and what PostgreSQL knows of any, as lines that can be compared."""

from __future__ import annotations

import asyncpg

from amibridge.store.db import connect
from tests.house.source import PACKAGE

SCHEMA = (PACKAGE / "store" / "schema.sql").read_text("utf-8")

QUERIES = (
    """
    SELECT 'relation', relname, relkind::text, relpersistence::text, coalesce(reloptions::text, ''),
           relrowsecurity::text, coalesce(obj_description(pg_class.oid), '')
      FROM pg_class WHERE relnamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'column', relname, attnum::text, attname, format_type(atttypid, atttypmod), attnotnull::text,
           attidentity::text, attgenerated::text, attstorage::text, attcollation::text,
           coalesce(pg_get_expr(adbin, adrelid), '')
      FROM pg_attribute
      JOIN pg_class ON pg_class.oid = attrelid
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE relnamespace = 'amibridge'::regnamespace AND attnum > 0 AND NOT attisdropped
    """,
    """
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'enum', typname, enumlabel, (row_number() OVER (PARTITION BY typname ORDER BY enumsortorder))::text
      FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid WHERE typnamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'type', typname, typtype::text
      FROM pg_type WHERE typnamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'sequence', seqrelid::regclass::text, seqtypid::regtype::text, seqstart::text, seqincrement::text,
           seqmax::text, seqmin::text, seqcache::text, seqcycle::text
      FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid WHERE relnamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'function', oid::regprocedure::text, regexp_replace(trim(prosrc), '[[:space:]]+', ' ', 'g')
      FROM pg_proc WHERE pronamespace = 'amibridge'::regnamespace
    """,
    """
    SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(pg_trigger.oid)
      FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
     WHERE relnamespace = 'amibridge'::regnamespace AND NOT tgisinternal
    """,
)

NOT_OURS = "alembic_version"


async def make_as_read(dsn: str) -> None:
    """Fill an empty database in an instant, as the migrations would in seconds."""
    connection = await connect(dsn)
    try:
        await connection.execute(f"CREATE SCHEMA amibridge; {SCHEMA}")
    finally:
        await connection.close()


async def catalog(connection: asyncpg.Connection) -> list[str]:
    """Everything in the schema amibridge but alembic's own table, in an order of its own."""
    lines = [" ".join(str(part) for part in row) for query in QUERIES for row in await connection.fetch(query)]
    return sorted(line for line in lines if NOT_OURS not in line)
