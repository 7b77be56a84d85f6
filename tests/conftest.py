"""Databases for tests, and what each test needs. Imports stand where they are used: the pure half is quick."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from pytest_asyncio.plugin import PytestAsyncioFunction

from tests.corpus import Trace

pytest.register_assert_rewrite("tests.real.office", "tests.system.law", "tests.system.history")

if TYPE_CHECKING:
    import asyncpg

# How fast an example runs is the machine's affair, and no test's.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("whole"), max_examples=15)
settings.load_profile("whole")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-stack", action="store_true", help="real calls on every version of Asterisk we have")
    parser.addoption("--api-examples", type=int, default=15, help="how much each endpoint of the API is asked")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
        if isinstance(item, PytestAsyncioFunction):
            item.add_marker("io")
        values = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        if any(isinstance(value, Trace) and not value.is_quick for value in values):
            item.add_marker("slow")


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a server on which databases may be made: AMIBRIDGE_TEST_DSN, else a private one."""
    from amibridge.store.embedded import open_embedded

    given = os.environ.get("AMIBRIDGE_TEST_DSN")
    if given:
        yield given
        return
    async with open_embedded(tmp_path_factory.mktemp("postgres"), throwaway=True) as embedded:
        yield embedded.dsn


@pytest.fixture(scope="session")
async def template(server: str) -> AsyncIterator[str]:
    """The name of a database with all our tables and no rows, to be copied."""
    from amibridge.store.migrations import migrate
    from tests.databases import new_database

    async with new_database(server) as dsn:
        await migrate(dsn)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def dsn(server: str, template: str) -> AsyncIterator[str]:
    """A database of the test's own."""
    from tests.databases import new_database

    async with new_database(server, template) as dsn:
        yield dsn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    from amibridge.store.db import open_pool

    async with open_pool(dsn) as pool:
        yield pool
