"""Who should take a call, asked of a running daemon as a PBX asks, while the CRM tells what changes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from amibridge.sandbox.retailcrm import SandboxCrm
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_following import BOSS, SECRET
from tests.system.test_module import CODE, NOBODY
from tests.system.test_straight_line import KEY, USERS, account

CLIENT = "client-of-the-shop"
PHONE = "+79161234567"
LOOKUP = "/api/v5/telephony/manager"


class Dialplan:
    """Of a PBX beside the bridge."""

    def __init__(self, bridge: Bridge, agi_port: int, client: aiohttp.ClientSession) -> None:
        self._bridge = bridge
        self._agi_port = agi_port
        self._client = client

    async def curl(self) -> tuple[str | None, str]:
        path = f"{self._bridge.url}/retailcrm/{SECRET}/responsible"
        async with self._client.get(path, params={"phone": PHONE}) as answer:
            said = await answer.json()
            return said.get("extension"), said.get("reason", said.get("error"))

    async def agi(self) -> tuple[str | None, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._agi_port)
        said = f"agi_network_script: responsible\nagi_callerid: {PHONE}\nagi_arg_1: {CLIENT}\n\n"
        writer.write(said.encode())
        found: dict[str, str] = {}
        while line := (await reader.readline()).decode():
            name, value = line.removeprefix("SET VARIABLE ").split(" ", 1)
            found[name] = value.strip('"\n')
            writer.write(b"200 result=1\n")
        writer.close()
        return found["AMIBRIDGE_EXTENSION"] or None, found["AMIBRIDGE_REASON"]

    async def until(self, *wanted: str | None) -> None:
        async with asyncio.timeout(30):
            while (await self.curl(), await self.agi()) != (wanted, wanted):
                await asyncio.sleep(0.05)


class Crm:
    """*asked*: how often it was asked who looks after a caller."""

    def __init__(self, sandbox: SandboxCrm, client: aiohttp.ClientSession) -> None:
        self._sandbox = sandbox
        self._client = client
        self._account = sandbox.account(KEY)

    @property
    def asked(self) -> int:
        return sum(1 for seen in self._sandbox.requests if seen.path == LOOKUP)

    async def tells_status(self, user: int, status: str) -> None:
        """At the address that the module was registered with."""
        telephony = self._account.modules[CODE].integrations.telephony
        assert telephony is not None
        address = telephony.change_user_status_url
        assert address is not None
        words = {"clientId": CLIENT, "userId": str(user), "code": "101", "status": status}
        async with self._client.get(address, params=words) as answer:
            assert (answer.status, await answer.json()) == (200, {"success": True})

    def new_customer(self, **fields: Any) -> int:
        return self._account.customers.create({"phones": [{"number": PHONE}], **fields}, datetime.now(UTC), BOSS)

    async def edits_customer(self, bridge: Bridge, id: int, **fields: Any) -> None:
        """And its trigger knocks."""
        self._account.customers.edit(id, fields, datetime.now(UTC), BOSS)
        form = {"event": "customer.edit", "id": str(id)}
        async with self._client.post(f"{bridge.url}/retailcrm/webhook/{SECRET}", data=form) as answer:
            assert answer.status == 200


@pytest.fixture
def agi_port(unused_tcp_port_factory: Any) -> int:
    port = unused_tcp_port_factory()
    assert isinstance(port, int)
    return port


async def test_it_follows_customers_and_operators_and_survives_a_kill(bridge: Bridge, agi_port: int) -> None:
    sandbox = SandboxCrm([account()])
    async with sandbox.serve() as url, aiohttp.ClientSession() as client:
        crm, dialplan = Crm(sandbox, client), Dialplan(bridge, agi_port, client)
        with bridge.config.open("a") as config:
            config.write(f'[agi]\nlisten = "127.0.0.1:{agi_port}"\n')
        await bridge.start()
        await bridge.apply(file(url))
        code, _, err = await bridge.command("retailcrm", "register", "0123", "--config", str(bridge.config))
        assert code == 0, err

        customer = crm.new_customer(firstName="Иван", managerId=USERS["101"])
        await dialplan.until("101", "responsible")
        assert crm.asked == 1
        await crm.tells_status(USERS["101"], "dinner")
        assert await dialplan.curl() == await dialplan.agi() == (None, "dinner")

        await bridge.kill()
        await bridge.start()
        await dialplan.until(None, "dinner")
        await crm.tells_status(USERS["101"], "free")
        assert await dialplan.curl() == await dialplan.agi() == ("101", "responsible")

        await crm.edits_customer(bridge, customer, managerId=USERS["102"])
        await dialplan.until("102", "responsible")
        bridge.send_signal(signal.SIGTERM)
        assert await bridge.ended() == 0
    text = bridge.log_file.read_text("utf-8")
    assert not any(secret in text for secret in (SECRET, CLIENT, PHONE))
    assert bridge.log("task_failed") == bridge.log("request_failed") == []
    assert sandbox.violations == []


async def test_an_agi_address_that_is_taken_ends_the_start_with_a_sentence(bridge: Bridge, agi_port: int) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", agi_port)
    async with server:
        with bridge.config.open("a") as config:
            config.write(f'[agi]\nlisten = "127.0.0.1:{agi_port}"\n')
        code, _, err = await bridge.command("run", "--config", str(bridge.config))
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{agi_port} for AGI: Address already in use" in err


def file(url: str, more: Sequence[str] = (f'client_id = "{CLIENT}"',)) -> str:
    text = enterprise_file(
        "0123", crm_url=url, api_key=KEY, hosts={"pbx1": NOBODY}, operators=USERS, time_zone="Europe/Minsk", more=more
    )
    return text.replace("[retailcrm]", f'[retailcrm]\nwebhook_secret = "{SECRET}"')
