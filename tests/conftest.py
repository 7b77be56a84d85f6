from __future__ import annotations

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pytest_asyncio.plugin import PytestAsyncioFunction

from amibridge.store.db import open_pool
from amibridge.store.embedded import open_embedded
from amibridge.store.migrations import migrate
from tests.databases import new_database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
        if isinstance(item, PytestAsyncioFunction):
            item.add_marker("io")


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a server on which databases may be made: AMIBRIDGE_TEST_DSN, else a private one."""
    given = os.environ.get("AMIBRIDGE_TEST_DSN")
    if given:
        yield given
        return
    async with open_embedded(tmp_path_factory.mktemp("postgres"), throwaway=True) as embedded:
        yield embedded.dsn


@pytest.fixture(scope="session")
async def template(server: str) -> AsyncIterator[str]:
    """The name of a database with all our tables and no rows, to be copied."""
    async with new_database(server) as dsn:
        await migrate(dsn)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def dsn(server: str, template: str) -> AsyncIterator[str]:
    """A database of the test's own."""
    async with new_database(server, template) as dsn:
        yield dsn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(dsn) as pool:
        yield pool
