"""The database: whether it answers, whether its tables are ours, what we may do there, what lies about in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import asyncpg

from amibridge.doctor.clocks import compared
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.doctor.machine import sized
from amibridge.store.db import DatabaseMissing
from amibridge.store.embedded import DatabaseServer
from amibridge.store.migrations import newest_version, schema_version
from amibridge.store.server import missing_rights, not_ours, sizes, standing
from amibridge.store.survey import Survey

SHOWN = 5
"""Names in one sentence."""


async def server(pool: asyncpg.Pool, opened: DatabaseServer, place: str) -> AsyncGenerator[Finding]:
    """*place*: what people call it."""
    asked = datetime.now(UTC)
    found = await standing(pool)
    answered = datetime.now(UTC)
    runs = ", started for this look" if opened.process is not None else ""
    yield ok("database", f"{place}, PostgreSQL {found.version}, as {found.user}, {sized(found.bytes)}{runs}")
    if found.read_only:
        advice = "name the primary in database.dsn; or ALTER ROLE … SET default_transaction_read_only = off"
        yield fail("database", "it takes no writes: a standby, or a role that may only read", advice)
    yield compared("database clock", found.now, asked, answered)


async def tables(pool: asyncpg.Pool) -> AsyncGenerator[Finding]:
    try:
        ours, theirs = newest_version(), await schema_version(pool)
    except DatabaseMissing as error:
        yield fail("tables", str(error), "install amibridge anew")
        return
    except asyncpg.UndefinedTableError:
        yield fail("tables", "there are none of ours yet", "amibridge db upgrade; the first start does it, too")
        return
    except asyncpg.InsufficientPrivilegeError as error:
        yield fail("tables", str(error), "GRANT USAGE ON SCHEMA amibridge to our role, or give it the schema")
        return
    if theirs == ours:
        yield ok("tables", f"schema {theirs}, which is ours")
    elif theirs < ours:
        advice = "amibridge db upgrade; a restart of the bridge does it, too"
        yield fail("tables", f"schema {theirs}, and ours is {ours}", advice)
    else:
        yield fail("tables", f"schema {theirs} is newer than ours, {ours}", "upgrade amibridge on this machine")


async def rights(pool: asyncpg.Pool) -> AsyncGenerator[Finding]:
    missing = await missing_rights(pool)
    if missing:
        named = some([f"{what} on {table}" for table, what in missing.items()])
        yield fail("database rights", f"missing: {named}", "GRANT them to our role, or make it the owner of the schema")
    foreign = await not_ours(pool)
    if foreign:
        owners = ", ".join(sorted(set(foreign.values())))
        advice = f"ALTER TABLE … OWNER TO our role, or upgrade as {owners}: amibridge db upgrade"
        yield warn("database rights", f"the next upgrade cannot alter {some(list(foreign))}, owned by {owners}", advice)
    if not missing and not foreign:
        yield ok("database rights", "we may read, write and alter what is ours")


async def largest(pool: asyncpg.Pool) -> AsyncGenerator[Finding]:
    told = [
        f"{one.table} {sized(one.bytes)}" + ("" if one.rows is None else f" ({one.rows:,} rows)")
        for one in await sizes(pool, SHOWN)
    ]
    yield ok("table sizes", f"the largest: {', '.join(told)}")


async def rejected(survey: Survey) -> AsyncGenerator[Finding]:
    found = await survey.rejected()
    for one in found:
        refused = f"{one.facts} of {one.enterprise}, which PostgreSQL would not take, the newest for: {one.error}"
        advice = "this is a defect of ours: send us these rows of amibridge.rejected_facts, then delete them"
        yield warn("rejected facts", refused, advice)
    if not found:
        yield ok("rejected facts", "none")


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """``a, b and 7 more``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
