from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from amibridge.store.db import open_pool
from tests.store.proxy import Proxy, proxy
from tests.web.recorded import Known, knowing
from tests.web.serving import Site, serving


@pytest.fixture
async def site(pool: asyncpg.Pool) -> AsyncIterator[Site]:
    async with serving(pool) as site:
        yield site


@pytest.fixture
async def way(dsn: str) -> AsyncIterator[Proxy]:
    """The way from `far_site` to its database."""
    async with proxy(dsn) as way:
        yield way


@pytest.fixture
async def far_site(way: Proxy) -> AsyncIterator[Site]:
    async with open_pool(way.dsn) as pool, serving(pool) as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the PBX's recordings can be read."""
    (folder := tmp_path / "monitor").mkdir()
    return folder


@pytest.fixture
def known(pool: asyncpg.Pool, folder: Path) -> Known:
    return knowing(pool, folder)
