"""The schema as it is read, as it is made, and the law of its keys."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from amibridge.store import embedded
from amibridge.store.db import connect, load_queries
from amibridge.store.embedded import find_binaries, open_embedded
from tests.databases import new_database
from tests.house.source import PACKAGE, ROOT
from tests.store.catalog import NOT_OURS, catalog, make_as_read

VERSIONS = sorted((ROOT / "alembic" / "versions").glob("*.py"))
QUERY_FILES = sorted(path for path in PACKAGE.rglob("*.sql") if path.name != "schema.sql")
QUERIES = {
    f"{path.stem}/{name}": sql
    for path in QUERY_FILES
    for name, sql in load_queries(str(path.with_suffix(".py"))).items()
}

OF_THE_SERVER = {name for name in QUERIES if name.startswith("server/")}
"""Questions about the server, its clock and our rights there: no enterprise's row is read."""

ACROSS_ENTERPRISES = {
    # A RetailCRM account shows us nothing but its client id when it knocks: that alone must find the enterprise.
    "enterprises_client_id_key",
}

NEWER_THAN_14 = re.compile(
    r"\bMERGE\b|NULLS\s+NOT\s+DISTINCT|security_invoker|\bregexp_(count|instr|like|substr)\b"  # 15
    r"|\bANY_VALUE\b|\bIS\s+JSON\b|\bJSON_(ARRAY|OBJECT)(AGG)?\s*\(|\barray_(sample|shuffle)\b|\bdate_add\b"  # 16
    r"|\bJSON_(TABLE|EXISTS|QUERY|VALUE|SCALAR|SERIALIZE)\b|\bON_ERROR\b|\bto_(bin|oct)\b"  # 17
    r"|\buuidv[47]\b|\bVIRTUAL\b|\bNOT\s+ENFORCED\b|\bWITHOUT\s+OVERLAPS\b|\barray_(sort|reverse)\b"  # 18
    r"|\bRETURNING\s+(WITH|old\.|new\.)|GENERATED\s+ALWAYS\s+AS\s+\([^)]*\)(?!\s+STORED)",  # 18
    re.IGNORECASE,
)


def statement(sql: str) -> str:
    """Without its comments."""
    return re.sub(r"--[^\n]*", "", sql)


@pytest.fixture
async def made(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A database that the migrations made."""
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def test_the_schema_that_is_read_is_the_one_the_migrations_make(server: str, made: asyncpg.Connection) -> None:
    async with new_database(server) as dsn:
        await make_as_read(dsn)
        read = await connect(dsn)
        try:
            as_read, as_made = await catalog(read), await catalog(made)
        finally:
            await read.close()
    assert len(as_read) > 150
    assert as_read == as_made


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE facts ALTER COLUMN recorded_at DROP DEFAULT",
        "ALTER TABLE calls ALTER COLUMN reason SET NOT NULL",
        "ALTER TABLE calls ALTER COLUMN line TYPE varchar(20)",
        "ALTER TABLE hosts ADD COLUMN note text",
        "ALTER TABLE deliveries RESET (fillfactor)",
        "ALTER TABLE deliveries DROP CONSTRAINT deliveries_check",
        "ALTER TABLE hosts DROP CONSTRAINT hosts_enterprise_id_fkey",
        "ALTER TYPE delivery_status ADD VALUE 'lost' BEFORE 'sent'",
        "DROP INDEX deliveries_unfinished; CREATE INDEX deliveries_unfinished ON deliveries (enterprise_id, id)",
        "CREATE VIEW report AS SELECT 1",
    ],
)
async def test_the_comparison_sees_a_difference(made: asyncpg.Connection, change: str) -> None:
    before = await catalog(made)
    await made.execute(change)
    assert await catalog(made) != before


async def test_every_key_begins_with_the_enterprise(made: asyncpg.Connection) -> None:
    rows = await made.fetch(
        """
        SELECT tables.relname AS table, indexes.relname AS index, indisprimary, indisunique,
               pg_get_indexdef(indexrelid, 1, false) AS first
          FROM pg_class AS tables
          LEFT JOIN pg_index ON indrelid = tables.oid
          LEFT JOIN pg_class AS indexes ON indexes.oid = indexrelid
         WHERE tables.relnamespace = 'amibridge'::regnamespace AND tables.relkind = 'r' AND tables.relname <> $1
        """,
        NOT_OURS,
    )
    tables = {row["table"] for row in rows}
    assert {"enterprises", "facts", "calls", "deliveries", "retailcrm_customers"} <= tables
    assert {row["table"] for row in rows if row["indisprimary"]} == tables
    assert {row["index"] for row in rows if row["first"] != "enterprise_id"} == ACROSS_ENTERPRISES


async def test_every_foreign_key_begins_with_the_enterprise(made: asyncpg.Connection) -> None:
    definitions = await made.fetch(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint"
        " WHERE connamespace = 'amibridge'::regnamespace AND contype = 'f'"
    )
    assert len(definitions) == 8
    assert all(row["text"].startswith("FOREIGN KEY (enterprise_id") for row in definitions)


def test_every_query_names_the_enterprise() -> None:
    assert len(QUERIES) >= 20
    silent = {name for name, sql in QUERIES.items() if "enterprise_id" not in statement(sql)} - OF_THE_SERVER
    assert silent == {"directory/tell_change"}, "its payload is the enterprise's number"


def test_no_query_about_deliveries_asks_for_the_databases_time() -> None:
    asking = {name for name, sql in QUERIES.items() if re.search(r"\bnow\(|\bcurrent_|_timestamp\(", statement(sql))}
    compared_with_nothing = {"directory/put_enterprise", "customers/link_customer", "customers/merge_customers"}
    assert asking - OF_THE_SERVER == compared_with_nothing, "their `updated_at`"


def test_tables_are_joined_within_an_enterprise() -> None:
    for name, sql in QUERIES.items() - {(name, QUERIES[name]) for name in OF_THE_SERVER}:
        text = statement(sql)
        joins = len(re.findall(r"\bJOIN\b|\bUSING\b|\bUPDATE\b.*\bFROM\s+unnest", text, re.DOTALL))
        alike = len(re.findall(r"(\w+)\.enterprise_id = (?!\1\b)\w+\.enterprise_id", text))
        assert alike >= joins, name


def test_what_is_asked_of_the_server_reads_its_catalogs_and_no_row_of_ours() -> None:
    assert len(OF_THE_SERVER) == 4
    for name in OF_THE_SERVER:
        read = re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", statement(QUERIES[name]))
        assert [table for table in read if not table.startswith("pg_") and table != "unnest"] == [], name


async def test_every_query_is_one_that_postgresql_takes(made: asyncpg.Connection) -> None:
    for sql in QUERIES.values():
        await made.prepare(sql)


def test_a_downgrade_is_not_offered() -> None:
    assert VERSIONS
    assert [
        path.name for path in (*VERSIONS, ROOT / "alembic" / "script.py.mako") if "downgrade(" in path.read_text()
    ] == []


@pytest.mark.parametrize(
    "path", [*VERSIONS, *QUERY_FILES, PACKAGE / "store" / "schema.sql"], ids=lambda path: str(path.name)
)
def test_no_sql_is_newer_than_postgresql_14(path: Path) -> None:
    assert NEWER_THAN_14.findall(statement(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "sql",
    [
        "MERGE INTO facts USING new ON true WHEN MATCHED THEN DELETE RETURNING key",
        "INSERT INTO facts (key) VALUES (uuidv7())",
        "CREATE UNIQUE INDEX one ON facts (at) NULLS NOT DISTINCT",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) VIRTUAL)",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a))",
        "SELECT any_value(host) FROM hosts",
        "UPDATE hosts SET port = 1 RETURNING old.port",
    ],
)
def test_the_rule_sees_newer_sql(sql: str) -> None:
    assert NEWER_THAN_14.search(sql)


@pytest.mark.postgres
async def test_all_sql_runs_on_the_oldest_postgresql_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = min(find_binaries().parent.parent.glob("*/bin"), key=embedded._version_order)
    monkeypatch.setattr(embedded, "find_binaries", lambda: oldest)
    async with open_embedded(tmp_path, throwaway=True) as old:
        await make_as_read(old.dsn)
        connection = await connect(old.dsn)
        try:
            for sql in QUERIES.values():
                await connection.prepare(sql)
        finally:
            await connection.close()
