"""A real Asterisk for each worker, and an office on it for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.real.asterisk import Asterisk, Driver, free_network
from tests.real.obtain import obtained
from tests.real.office import Office, open_office

NEWEST = "asterisk22"
FARTHEST = "asterisk16-chan_sip"
"""From the newest: another version and another driver."""

STACKS = {
    NEWEST: (22, Driver.PJSIP),
    "asterisk16": (16, Driver.PJSIP),
    FARTHEST: (16, Driver.SIP),
}

FAR_TOO = ("test_transfers_attended.py", "test_transfers_blind.py")
"""Where stacks differ most: these run on both ends, the others on the newest unless every stack is asked for."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-stack"):
        return
    kept = [item for item in items if _is_wanted(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _is_wanted(item)])
    items[:] = kept


def _is_wanted(item: pytest.Item) -> bool:
    stack = (
        item.callspec.params.get("asterisk")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else None
    )
    return stack in (None, NEWEST) or (stack == FARTHEST and item.path.name in FAR_TOO)


@pytest.fixture(scope="session", params=STACKS)
async def asterisk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asterisk]:
    version, driver = STACKS[request.param]
    package = obtained(version)
    if package is None:
        pytest.skip(f"there is no Asterisk {version} here: make asterisk")
    pbx = Asterisk(package, driver, tmp_path_factory.mktemp(request.param), free_network())
    await pbx.start()
    yield pbx
    await pbx.stop()


@pytest.fixture
async def office(asterisk: Asterisk) -> AsyncIterator[Office]:
    async with open_office(asterisk) as office:
        yield office
        await asyncio.sleep(0)
