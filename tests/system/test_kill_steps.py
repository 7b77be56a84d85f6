"""One call whose daemon is killed with -9 at every step of its deliveries: in the end the CRM holds one of each.

Where the kill falls is no matter of luck: the CRM holds its answer, or the database a lock, and then it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from amibridge.sandbox.crm_faults import Fault, Hang, Held, Nonsense
from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.store.db import connect
from tests.corpus import TRACES
from tests.delivery.bench import CUT_THE_OTHERS
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import wanted_of
from tests.system.law import EVENT, UPLOAD, assert_law
from tests.system.test_straight_line import KEY, account, pbx_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CALL = [trace for trace in TRACES if str(trace) == "asterisk22/h_ringgroup_102_answers"]
SETTINGS = "/api/v5/settings"
LOOKUP = "/api/v5/telephony/manager"
CUSTOMERS = "/api/v5/customers"
CREATE = "/api/v5/customers/create"

KNOWS_NOBODY = Nonsense('{"success": true, "manager": [], "customer": []}')
FINDS_NOBODY = Nonsense('{"success": true, "pagination": {"totalPageCount": 1}, "customers": []}')
"""A CRM whose search does not know yet whom it just made."""

SOMEBODY_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted)"


class Steps:
    """Where the daemon is killed next. *crm* is asked over its socket; *database* is beside the daemon."""

    def __init__(self, bridge: Bridge, crm: SandboxCrm, database: asyncpg.Connection) -> None:
        self._bridge = bridge
        self._crm = crm
        self._database = database
        self._begun = 0

    def times_asked(self, path: str) -> int:
        """Since the daemon was started last."""
        return sum(seen.path == path for seen in list(self._crm.requests)[self._begun :])

    async def start(self) -> None:
        self._begun = len(self._crm.requests)
        await self._bridge.start()

    async def killed_when(self, *paths: str) -> None:
        """All of these have been asked, and not answered."""
        await until(lambda: all(self.times_asked(path) for path in paths), 60)
        await self._bridge.kill()
        self._crm.faults.clear()

    @asynccontextmanager
    async def killed_writing(self, table: str, lines: Callable[[], object] = lambda: True) -> AsyncIterator[None]:
        """The database lets nobody write *table*. What is done within goes on until somebody has to wait for that, and
        the log has said the *lines*."""
        async with self._database.transaction():
            await self._database.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield
            async with asyncio.timeout(60):
                while not (
                    await self._database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") and lines()
                ):
                    await asyncio.sleep(0.01)
            await self._bridge.kill()
            # Else the server would go on with what a dead client asked for.
            await self._database.execute(CUT_THE_OTHERS)


async def test_killed_at_every_step_of_a_delivery_a_call_is_told_once_and_a_stranger_is_made_once(
    bridge: Bridge,
) -> None:
    crm, wanted = SandboxCrm([account()]), wanted_of(CALL)
    theirs = crm.account(KEY)
    pbx = pbx_of(CALL, speed=4.0, lost=False)

    def misbehave(fault: Fault, *paths: str, times: int | None = 1) -> None:
        for path in paths:
            crm.faults.give(fault, path=path, times=times, whole=True)

    async with crm.serve() as url, pbx.serve() as address:
        database = await connect(bridge.dsn)
        try:
            steps = Steps(bridge, crm, database)
            await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))

            # A popup is on its way: it opened, and nobody read that.
            misbehave(Hang(done=True), EVENT)
            await steps.start()
            await steps.killed_when(EVENT)
            assert {popup.kind for popup in theirs.open_popups()} == {"in"}

            # Nothing was sent yet: history waits for the time zone, the errand has just begun to look for him.
            misbehave(Hang(), SETTINGS, times=None)
            misbehave(Hang(), LOOKUP)
            await steps.start()
            await steps.killed_when(SETTINGS, LOOKUP)
            assert steps.times_asked(UPLOAD) == 0

            # The requests arrived, and were not carried out.
            misbehave(Hang(), UPLOAD, CREATE)
            await steps.start()
            await steps.killed_when(UPLOAD, CREATE)
            assert (theirs.calls, theirs.customers.by_id) == ([], {})

            # They were carried out, and not answered.
            misbehave(Hang(done=True), UPLOAD, CREATE)
            await steps.start()
            await steps.killed_when(UPLOAD, CREATE)
            assert (len(theirs.calls), len(theirs.customers.by_id)) == (1, 1)

            # He was found, by our externalId alone, and nobody could remember him.
            misbehave(Hang(), UPLOAD)
            misbehave(KNOWS_NOBODY, LOOKUP)
            misbehave(FINDS_NOBODY, CUSTOMERS, times=3)
            async with steps.killed_writing("retailcrm_customers"):
                await steps.start()
            crm.faults.clear()
            [him] = theirs.customers.by_id.values()
            assert steps.times_asked(f"{CUSTOMERS}/{him['externalId']}") == 1

            # The answers were read, he is remembered, and the settlements are not written.
            released = asyncio.Event()
            misbehave(Held(released), UPLOAD)
            misbehave(KNOWS_NOBODY, LOOKUP)
            misbehave(FINDS_NOBODY, CUSTOMERS, times=3)
            told = len(bridge.log("call_delivered"))
            await steps.start()
            await until(lambda: steps.times_asked(UPLOAD), 60)
            async with steps.killed_writing("deliveries", lambda: len(bridge.log("call_delivered")) > told):
                released.set()
            assert await database.fetchval("SELECT count(*) FROM deliveries WHERE kind <> 'popup' AND status = 'due'")
            crm.faults.clear()

            # Everything is settled.
            await steps.start()
            await assert_law(bridge, crm, theirs, wanted)
            assert bridge.log("call_delivered")[-1]["duplicate"] is True, "what was repeated is understood"
            await bridge.kill()

            # And stays so.
            await steps.start()
            await until(lambda: steps.times_asked("/api/credentials"), 60)
            await assert_law(bridge, crm, theirs, wanted)
            assert [steps.times_asked(path) for path in (EVENT, UPLOAD, LOOKUP, CREATE)] == [0, 0, 0, 0]
            rows = await database.fetch("SELECT phone, retailcrm_customer_id FROM retailcrm_customers")
            assert [tuple(row) for row in rows] == [(him["phones"][0]["number"], him["id"])]
        finally:
            await database.close()
