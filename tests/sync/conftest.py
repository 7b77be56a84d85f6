"""The office, imported where it is used: the tests of pure modules beside do without aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.sync.following import Office


@pytest.fixture
async def office(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    """A CRM that may be asked as often as one likes: a test does not wait for a rate that it is not about."""
    from amibridge.sandbox import crm_witness
    from tests.sync import following

    monkeypatch.setitem(crm_witness.LIMITS, crm_witness.LimitClass.ORDINARY, 100_000)
    async with following.office(pool) as office:
        yield office
