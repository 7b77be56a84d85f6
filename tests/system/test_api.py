"""The API of the running daemon: a token from the shell opens it at once, shows a call as it goes, then no more."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import asyncpg

from amibridge.sandbox.retailcrm import SandboxCrm
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_straight_line import KEY, account, pbx_of


async def test_a_token_from_the_shell_opens_the_running_bridge_until_it_is_revoked(
    bridge: Bridge, pool: asyncpg.Pool
) -> None:
    crm, pbx = SandboxCrm([account()]), pbx_of([], speed=5)

    async def command(*words: str) -> dict[str, Any]:
        group, *rest = words
        code, out, err = await bridge.command("token", group, "--config", str(bridge.config), "0123", *rest)
        assert code == 0, err
        return dict(json.loads(out))

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        host = await stack.enter_async_context(pbx.serve())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await bridge.start()
        await bridge.apply(
            enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": host}, operators={"101": 27})
        )
        await until(lambda: bridge.log("host_connected"))
        made = await command("add", "--scope", "read", "--scope", "call")

        async def ask(path: str, **query: str) -> tuple[int, Any]:
            bearer = {"Authorization": f"Bearer {made['token']}"}
            async with session.get(f"{bridge.url}{path}", params=query, headers=bearer) as response:
                return response.status, await response.json()

        async def answered(path: str, status: int) -> Any:
            """What is said once the bridge has heard of the change."""
            while True:
                found, body = await ask(path)
                if found == status:
                    return body

        assert await answered("/api/v1/calls", 200) == {"calls": [], "next": None}
        _, placed = await ask("/api/makecallexternal", code="101", phone="+79165554433", clientId=made["token"])
        call = placed["call"]
        going_on = await answered(f"/api/v1/calls/{call}", 200)
        assert (going_on["direction"], going_on["caller"], going_on["phone"]) == ("outgoing", "101", "+79165554433")
        await until(lambda: crm.account(KEY).calls)
        _, over = await ask(f"/api/v1/calls/{call}")
        assert over["ended_at"] is not None
        assert [one["call_id"] for one in (await ask("/api/v1/calls", operator="101"))[1]["calls"]] == [call]
        assert "history" in [one["kind"] for one in over["deliveries"]]

        await command("revoke", str(made["id"]))
        assert (await answered("/api/v1/calls", 401))["error"] == "unknown_token"
    assert made["token"] not in bridge.log_file.read_text("utf-8")
    await bridge.kill()
    rows = await pool.fetch("SELECT who, action, target, outcome FROM audit WHERE enterprise_id = '0123' ORDER BY id")
    told = {tuple(row) for row in rows}
    assert ("command line", "token.add", f"token {made['id']}", "call read") in told
    assert (f"token {made['id']}", "call", "101 to +79165554433", "placed") in told
    assert (f"token {made['id']}", "calls.show", f"id={call}", "done") in told
