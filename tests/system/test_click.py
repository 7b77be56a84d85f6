"""A click through the running daemon: from a shell and over HTTP to the CRM's history, and what a person is told."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import aiohttp

from amibridge.sandbox.retailcrm import SandboxCrm
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_straight_line import KEY, account, pbx_of


class Shell:
    """`amibridge call` beside the daemon."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def __call__(
        self, number: str = "0123", extension: str = "101", phone: str = "+79165554433"
    ) -> tuple[int, str, str]:
        words = ("call", "--config", str(self._bridge.config), number, "--from", extension, "--to", phone)
        return await self._bridge.command(*words)


async def test_a_call_from_a_shell_is_in_the_crms_history_by_the_id_that_was_answered(bridge: Bridge) -> None:
    crm, pbx, shell = SandboxCrm([account()]), pbx_of([], speed=20), Shell(bridge)
    history = crm.account(KEY)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        host = await stack.enter_async_context(pbx.serve())
        await bridge.start()
        code, out, err = await shell()
        assert (code, out) == (1, "")
        assert "there are no enterprises yet" in err

        text = enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": host}, operators={"101": 27})
        await bridge.apply(text)
        await until(lambda: bridge.log("host_connected"))

        code, out, err = await shell(extension="101&102")
        assert (code, out) == (2, "")
        assert "0123: There is no such extension." in err
        code, _, err = await shell(phone="112")
        assert code == 2
        assert "0123: The phone must be a public telephone number." in err
        assert [one for one in pbx.received if one["Action"] == "Originate"] == []

        code, out, _ = await shell()
        assert code == 0
        answer = json.loads(out)
        assert (answer["from_ext"], answer["to_phone"]) == ("101", "+79165554433")
        await until(lambda: history.calls)
        assert [(one.external_id, one.kind, one.phone) for one in history.calls] == [
            (answer["call"], "out", "+79165554433")
        ]
        [placed] = bridge.log("call_placed")
        assert (placed["call"], placed["operator"], placed["way"]) == (answer["call"], "101", "api")

        pbx.misbehave(refuses={"Originate"})
        code, out, err = await shell(phone="+79165554434")
        assert (code, out) == (1, "")
        assert "0123: Call initiation failed: pbx1: Permission denied" in err
        assert crm.violations == []
    await bridge.kill()
    code, _, err = await shell()
    assert code == 1
    assert "the bridge must run to place a call" in err


async def test_two_enterprises_with_equal_extensions_ring_each_its_own(bridge: Bridge) -> None:
    """Of one CRM's address and one name of their hosts, with one number called."""
    keys = {"0123": KEY, "0124": "key-of-another-shop"}
    crm = SandboxCrm([account(), account(keys["0124"], "Лютик")])
    pbxs = {number: pbx_of([], speed=20) for number in keys}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        hosts = {number: await stack.enter_async_context(pbx.serve()) for number, pbx in pbxs.items()}
        await bridge.start()
        await bridge.apply(
            *(
                enterprise_file(
                    number, crm_url=url, api_key=key, hosts={"pbx1": hosts[number]}, operators={"101": 27},
                    more=[f'client_id = "client-{number}"'],
                )
                for number, key in keys.items()
            )
        )  # fmt: skip
        await until(lambda: len(bridge.log("host_connected")) == 2)
        asked = {"code": "101", "phone": "+79165554433", "clientId": "client-0124"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{bridge.url}/api/makecallexternal", params=asked) as response,
        ):
            answer = await response.json()
        assert answer["enterprise_number"] == "0124"
        await until(lambda: crm.account(keys["0124"]).calls)
        assert [one.external_id for one in crm.account(keys["0124"]).calls] == [answer["call"]]
        assert crm.account(KEY).calls == []
        originated = {
            number: [one["Exten"] for one in pbx.received if one["Action"] == "Originate"]
            for number, pbx in pbxs.items()
        }
        assert originated == {"0123": [], "0124": ["+79165554433"]}
