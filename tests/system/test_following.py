"""The CRM's orders around a running daemon: a trigger knocks, a kill costs nothing, the stop is quick."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime

import aiohttp
import asyncpg

from amibridge.sandbox.crm_history import person
from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.store.db import connect
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_module import NOBODY
from tests.system.test_straight_line import KEY, account

SECRET = "a-secret-for-the-webhook"
BOSS = person(27)
WITHIN = 30.0
"""Seconds: without a hint it would be minutes."""


async def until_known(connection: asyncpg.Connection, **statuses: str) -> None:
    """Until exactly these orders are there, by their numbers."""
    async with asyncio.timeout(WITHIN):
        while True:
            rows = await connection.fetch("SELECT number, status FROM crm_orders")
            if sorted((row["number"], row["status"]) for row in rows) == sorted(statuses.items()):
                return
            await asyncio.sleep(0.05)


async def test_a_trigger_brings_an_order_in_seconds_and_a_kill_loses_none(bridge: Bridge, dsn: str) -> None:
    crm = SandboxCrm([account()])
    orders = crm.account(KEY).orders
    async with crm.serve() as url, aiohttp.ClientSession() as client:

        async def knock(event: str, id: int) -> int:
            form = {"event": event, "id": str(id)}
            async with client.post(f"{bridge.url}/retailcrm/webhook/{SECRET}", data=form) as answer:
                return answer.status

        await bridge.start()
        file = enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": NOBODY}, time_zone="Europe/Minsk")
        await bridge.apply(file.replace("[retailcrm]", f'[retailcrm]\nwebhook_secret = "{SECRET}"'))
        connection = await connect(dsn)
        try:
            async with asyncio.timeout(WITHIN):
                while await connection.fetchval("SELECT min(backfilled_from) FROM crm_cursors") is None:
                    await asyncio.sleep(0.05)
            first = orders.create({"number": "first"}, datetime.now(UTC), BOSS)
            assert await knock("order.create", first) == 200
            await until_known(connection, first="new")
            await bridge.kill()
            orders.edit(first, {"status": "complete"}, datetime.now(UTC), BOSS)
            orders.create({"number": "second"}, datetime.now(UTC), BOSS)
            await bridge.start()  # nobody knocked meanwhile
            await until_known(connection, first="complete", second="new")
            bridge.send_signal(signal.SIGTERM)
            assert await bridge.ended() == 0
        finally:
            await connection.close()
    assert SECRET not in bridge.log_file.read_text("utf-8")
    assert crm.violations == []
