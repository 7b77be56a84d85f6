from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from amibridge.retailcrm.client import CrmSettings, RetailCrm, open_crm
from tests.delivery.scripted_crm import ScriptedCrm


@pytest.fixture
async def crm() -> AsyncIterator[RetailCrm]:
    async with open_crm(CrmSettings()) as crm:
        yield crm


@pytest.fixture
def scripted() -> ScriptedCrm:
    return ScriptedCrm()


@pytest.fixture
async def crm_url(scripted: ScriptedCrm) -> AsyncIterator[str]:
    async with scripted.serve() as url:
        yield url
