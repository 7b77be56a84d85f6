"""The office, imported where it is used: the pure tests beside do without aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.responsible.asking import Reception


@pytest.fixture
async def reception(pool: asyncpg.Pool) -> AsyncIterator[Reception]:
    from tests.responsible import asking

    async with asking.reception(pool) as reception:
        yield reception
