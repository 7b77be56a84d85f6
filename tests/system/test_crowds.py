"""Ten thousand deliveries that are due at once: the account is asked no faster for it, and no neighbour waits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from amibridge.calls.notices import RING_NEWS
from amibridge.sandbox.crm_faults import Hang
from amibridge.sandbox.retailcrm import SandboxCrm
from bench.crowd import HOST, STRANGERS, missed, put, ringing, stranger
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import wanted_of
from tests.system.law import EVENT, UPLOAD, assert_law, assert_rates
from tests.system.test_module import NOBODY
from tests.system.test_straight_line import KEY, account, pbx_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CALLS = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.partition("_")[0] in "adh"]

CROWD = 4_000
"""Calls that wait for history; half as many phones ring."""

NEWS = 200
"""Rings that are news for as long as it takes."""

STAYS_NEWS = """
UPDATE deliveries SET fresh_until = fresh_until + $1
 WHERE id IN (SELECT id FROM deliveries WHERE kind = 'popup' ORDER BY id LIMIT $2)
"""


async def test_no_second_ever_has_more_requests_than_an_account_allows(
    bridge: Bridge, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Popups, history, errands and what the CRM is followed by, in one daemon; and commands beside it."""
    crm = SandboxCrm([account()])
    theirs = crm.account(KEY)
    async with crm.serve() as url:
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={HOST: NOBODY}))
        rows = await put(pool, "0123", ringing, CROWD // 2, age=RING_NEWS * 0.9)
        rows += await put(pool, "0123", missed, CROWD)
        assert rows == 10_000
        await pool.execute(STAYS_NEWS, timedelta(hours=1), NEWS)
        await bridge.start()
        users = ("retailcrm", "users", "0123", "--config", str(bridge.config))
        while len(theirs.calls) < CROWD:
            code, _, err = await bridge.command(*users)
            assert code == 0, err
        await until(lambda: len(theirs.customers.by_id) == STRANGERS, 60)
        async with asyncio.timeout(60):
            while await pool.fetchval("SELECT count(*) FROM deliveries WHERE status = 'due'"):
                await asyncio.sleep(0.1)
    assert_rates(crm, theirs)
    assert len({call.external_id for call in theirs.calls}) == len(theirs.calls) == CROWD
    assert theirs.duplicates == []
    phones = sorted(phone["number"] for one in theirs.customers.by_id.values() for phone in one["phones"])
    assert phones == sorted({stranger(number) for number in range(STRANGERS)})
    told = sum(seen.path == EVENT for seen in crm.requests)
    assert NEWS <= told < CROWD // 2, "what is news is told, and the others not late"


async def test_a_neighbour_waits_for_nothing_but_his_own(bridge: Bridge, pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """One account answers nothing at all, with ten thousand deliveries due; another gets all of its calls meanwhile."""
    dead, well = SandboxCrm([account()]), SandboxCrm([account()])
    wanted = wanted_of(CALLS)
    async with AsyncExitStack() as stack:
        dead.faults.give(Hang(), times=None)
        urls = [await stack.enter_async_context(crm.serve()) for crm in (dead, well)]
        address = await stack.enter_async_context(pbx_of(CALLS, speed=4.0).serve())
        file = enterprise_file("0001", crm_url=urls[0], api_key=KEY, hosts={HOST: NOBODY}, time_zone="Europe/Minsk")
        await bridge.apply(file)
        assert await put(pool, "0001", missed, 5_000) == 10_000
        await bridge.start()
        await until(lambda: any(seen.path == UPLOAD for seen in dead.requests), 60)
        await bridge.apply(enterprise_file("0002", crm_url=urls[1], api_key=KEY, hosts={"pbx": address}))
        theirs = well.account(KEY)
        await assert_law(bridge, well, theirs, wanted, enterprise="0002")
        assert [popup.kind for popup in theirs.popups].count("in") == len(theirs.calls), "all were told while they rang"
        assert dead.account(KEY).calls == []
        assert bridge.log("call_delivered", enterprise="0001") == []
