"""A real Asterisk for each worker, and an office on it for each test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
from _pytest.runner import runtestprotocol

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

BROKEN = pytest.StashKey[str]()
"""What an Asterisk said that did not answer, or carried a call, after its test."""

KEY_LOST = "the keys were pressed and nothing came of it"
"""Our answer then. Seen once in some hundred transfers, while the machine had much else to do."""

FAR_TOO = (
    "test_holds.py",
    "test_parking_over_http.py",
    "test_transfers_attended.py",
    "test_transfers_blind.py",
)
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
    with free_network() as network:
        pbx = Asterisk(package, driver, tmp_path_factory.mktemp(request.param), network)
        await pbx.start()
        yield pbx
        await pbx.stop()


@pytest.fixture
async def office(request: pytest.FixtureRequest, asterisk: Asterisk) -> AsyncIterator[Office]:
    async with open_office(asterisk) as office:
        yield office
        await asyncio.sleep(0)
    if not await asterisk.is_well():
        request.node.stash[BROKEN] = asterisk.said()
        await asterisk.kill()
        await asterisk.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test that failed on an Asterisk which answers no more, as 16 at times, is run once more on a new one; and one
    for which an Asterisk under load lost a key of an attended transfer, which it presses on a phone by itself.

    What fails by a fault of ours fails again.
    """
    if "office" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    broken = item.stash.get(BROKEN, None)
    if any(report.failed and KEY_LOST in report.capstdout for report in reports):
        broken = KEY_LOST
    if broken is not None and any(report.failed for report in reports):
        # It is an Asterisk's fault, and the log of the run should tell how often.
        print(f"{item.nodeid}: Asterisk was stuck, or lost a key; once more\n{broken}", file=sys.stderr)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
