"""The module from its registration on, as an administrator and RetailCRM see it: commands, callbacks, silence."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import assert_history, wanted_of
from tests.system.test_straight_line import KEY, USERS, account, pbx_of

CODE = "amibridge-0123"
NOBODY = ("127.0.0.1", 1)
"""Where no PBX answers."""


class Module:
    """Ours, in the sandbox CRM: asked and told by the addresses that it was registered with."""

    def __init__(self, bridge: Bridge, crm: SandboxCrm, client: aiohttp.ClientSession) -> None:
        self._bridge = bridge
        self._crm = crm
        self._client = client

    async def command(self, *words: str) -> tuple[int, list[Any]]:
        code, out, _ = await self._bridge.command("retailcrm", *words, "0123", "--config", str(self._bridge.config))
        return code, [json.loads(line) for line in out.splitlines()]

    async def tell(self, **activity: bool) -> None:
        """As RetailCRM does it."""
        module = self._crm.account(KEY).modules[CODE]
        assert module.actions is not None
        form = {"clientId": module.client_id, "activity": json.dumps(activity)}
        async with self._client.post(f"{module.base_url}{module.actions.activity}", data=form) as answer:
            assert (answer.status, await answer.json()) == (200, {"success": True})

    async def stands(self, state: str) -> str:
        """Wait until `/health/ready` says that the CRM stands so; why."""
        while True:
            async with self._client.get(f"{self._bridge.url}/health/ready") as answer:
                found = [one["crm"] for one in (await answer.json())["enterprises"]]
            if found and found[0]["state"] == state:
                return str(found[0]["reason"])
            await asyncio.sleep(0.05)

    async def calls_wait(self) -> None:
        """Wait until something is to be told."""
        while True:
            async with self._client.get(f"{self._bridge.url}/health/ready") as answer:
                if any(one["status"] == "due" for one in (await answer.json())["deliveries"]):
                    return
            await asyncio.sleep(0.05)


async def test_frozen_it_is_silent_and_afterwards_every_call_is_told(bridge: Bridge) -> None:
    traces = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.partition("_")[0] in "abc"]
    crm = SandboxCrm([account()])
    theirs = crm.account(KEY)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        url = await stack.enter_async_context(crm.serve())
        address = await stack.enter_async_context((pbx := pbx_of(traces)).serve())
        module = Module(bridge, crm, client)
        await bridge.start()

        def file(pbx: tuple[str, int]) -> str:
            return enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"asterisk22": pbx}, operators=USERS)

        await bridge.apply(file(NOBODY))
        code, [said] = await module.command("register")
        assert (code, said["written"], said["left"]) == (0, True, [])
        assert await module.command("status") == (0, [{"enterprise": "0123", "module": CODE, "as_wished": True}])

        await module.tell(active=True, freeze=True)
        assert "frozen" in await module.stands("paused")
        await bridge.apply(file(address))
        told = len(crm.requests)
        await pbx.played()
        await module.calls_wait()
        assert [seen.path for seen in list(crm.requests)[told:]] == []
        assert (theirs.popups, theirs.calls) == ([], [])

        await module.tell(active=True, freeze=False)
        await module.stands("well")
        wanted = wanted_of(traces)
        await until(lambda: len(theirs.calls) >= len(wanted))
        assert_history(theirs, wanted)

        # What the CRM could not tell us, a command asks for.
        await module.tell(active=False, freeze=False)
        assert "switched off" in await module.stands("paused")
        code, [line] = await module.command("status")
        assert (code, line["what"], line["found"]) == (1, "told", "switched off")
        code, [said] = await module.command("register")
        assert (code, said["written"]) == (0, False)
        await module.stands("well")
    events = [line["event"] for line in bridge.log() if line["event"] in ("crm_paused", "crm_resumed")]
    assert events == ["crm_paused", "crm_resumed"] * 2
    assert bridge.log("crm_key_lacks_rights") == []
