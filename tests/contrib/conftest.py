from __future__ import annotations

import asyncpg
import pytest

from tests.web.scraping import Scraped, fill, scrape
from tests.web.serving import serving


@pytest.fixture
async def scraped(pool: asyncpg.Pool) -> Scraped:
    """What a running side server tells that has something to tell of everything."""
    async with serving(pool) as site:
        await fill(site, pool)
        return await scrape(site)
