"""Databases for tests: one server per run, one template per run, one copy of it per test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg


def at_database(dsn: str, name: str) -> str:
    """*dsn* with another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


@asynccontextmanager
async def new_database(server: str, template: str | None = None) -> AsyncIterator[str]:
    """The DSN of a database of its own, dropped afterwards, whoever is still connected."""
    name = f"amibridge_test_{secrets.token_hex(6)}"
    await command(server, f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    try:
        yield at_database(server, name)
    finally:
        await command(server, f"DROP DATABASE {name} WITH (FORCE)")


async def command(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
