"""A CRM and our way to it. Imported where they are used: the tests of pure modules beside do without aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import asyncpg

    from amibridge.enterprises import Enterprise
    from amibridge.retailcrm.client import RetailCrm
    from tests.delivery.bench import Bench
    from tests.delivery.scripted_crm import ScriptedCrm
    from tests.delivery.shop import Shop


@pytest.fixture
async def crm() -> AsyncIterator[RetailCrm]:
    from amibridge.retailcrm.client import CrmSettings, open_crm

    async with open_crm(CrmSettings()) as crm:
        yield crm


@pytest.fixture
def scripted() -> ScriptedCrm:
    from tests.delivery.scripted_crm import ScriptedCrm

    return ScriptedCrm()


@pytest.fixture
async def crm_url(scripted: ScriptedCrm) -> AsyncIterator[str]:
    async with scripted.serve() as url:
        yield url


@pytest.fixture
def enterprise(crm_url: str) -> Enterprise:
    from tests.delivery.lane_at_work import enterprise_at

    return enterprise_at(crm_url)


@pytest.fixture
async def bench(pool: asyncpg.Pool[asyncpg.Record], crm: RetailCrm, crm_url: str, scripted: ScriptedCrm) -> Bench:
    from tests.delivery.bench import KEYS, Bench

    scripted.keys = set(KEYS.values())
    return Bench(pool, crm, crm_url)


@pytest.fixture
async def shop(pool: asyncpg.Pool[asyncpg.Record], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A CRM that may be asked as often as one likes: a test does not wait for a rate that it is not about."""
    from amibridge.sandbox import crm_witness
    from tests.delivery.shop import shop

    for limit in crm_witness.LIMITS:
        monkeypatch.setitem(crm_witness.LIMITS, limit, 100_000)
    async with shop(pool) as ours:
        yield ours
