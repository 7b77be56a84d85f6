"""Who should get a caller, asked by a real dialplan during a real call: his manager's phone rings, or the usual one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import aiohttp
import asyncpg
import pytest

from amibridge.agi.server import AgiServer
from amibridge.config import AgiSettings, WebSettings
from amibridge.enterprises import ResponsibleMode
from amibridge.redact import Secret
from amibridge.secrets import Key, Keyring
from amibridge.store.directory import Directory
from amibridge.web.app import Address, make_app, serve
from amibridge.web.tenants import Tenants
from tests.real.office import CALLER, Office, hangs_up
from tests.responsible.asking import SOON, Reception, reception
from tests.responsible.people import ANNA, romashka
from tests.web.serving import idle_services

SECRET, CLIENT = "hush-secret-of-the-office", "client-of-the-office"
CURL, AGI, LEGACY = "74951110041", "74951110042", "74951110043"
WAYS = pytest.mark.parametrize("line", [CURL, AGI, LEGACY], ids=["curl", "agi", "legacy"])
SHOWN = "Иван"


@pytest.fixture(autouse=True)
def can_ask(office: Office, line: str) -> None:
    if line != AGI and office.asterisk.lacks("func_curl.so"):
        pytest.skip("this Asterisk has no CURL() here: the libcurl of this machine is not the one it was built for")


@dataclass
class Bridge:
    url: str
    desk: Reception

    async def tell(self, status: str) -> None:
        """The CRM says how Anna stands."""
        address = f"{self.url}/retailcrm/{SECRET}/status"
        words = {"clientId": CLIENT, "userId": str(ANNA), "code": "101", "status": status}
        async with aiohttp.ClientSession() as crm, crm.get(address, params=words) as answer:
            assert answer.status == 200


@pytest.fixture
async def bridge(office: Office, pool: asyncpg.Pool) -> AsyncIterator[Bridge]:
    """The part of the daemon that is asked, where the dialplan looks for it, and a CRM behind it."""
    where = office.asterisk.bridge
    stop, listening, agi_listening = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(reception(pool))
        ours = replace(
            romashka(desk.office.url, mode=ResponsibleMode.ROUTE), client_id=CLIENT, webhook_secret=Secret(SECRET)
        )
        await Directory(pool, Keyring([Key("test", bytes(32))])).apply(ours)
        desks = await stack.enter_async_context(desk.open(SOON, ours))
        tenants = Tenants()
        tenants.enterprises([ours])
        services = replace(
            idle_services(pool), tenants=tenants, keep_status=desks.tell_status, responsible=desks.answer
        )
        web = Address(WebSettings(*where["BRIDGE"], "https://bridge.example"))
        agi = AgiServer(AgiSettings(*where["BRIDGE_AGI"]), tenants.of_client_id, desks.answer, services.trail)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(stop.set)
        tasks.create_task(serve(make_app(services), web, stop, listening), name="web under test")
        tasks.create_task(agi.serve(stop, agi_listening), name="agi under test")
        await listening.wait()
        await agi_listening.wait()
        yield Bridge("http://{}:{}".format(*where["BRIDGE"]), desk)


@WAYS
async def test_annas_customer_rings_anna(office: Office, bridge: Bridge, line: str) -> None:
    bridge.desk.new_customer(ANNA, SHOWN, f"+{CALLER}")
    customer = office.customer(line)
    anna = await office.takes("101")
    await hangs_up(customer, anna)
    name = None if line == CURL else SHOWN
    await office.incoming(customer, anna, hangup_by="customer", caller_name=name)
    assert (name or "") in anna.shown[0]


@WAYS
async def test_while_anna_is_at_dinner_it_goes_the_normal_way_and_afterwards_to_her(
    office: Office, bridge: Bridge, line: str
) -> None:
    bridge.desk.new_customer(ANNA, SHOWN, f"+{CALLER}")
    for status, extension in (("dinner", "102"), ("free", "101")):
        await bridge.tell(status)
        customer = office.customer(line)
        talk = await office.takes(extension)
        await hangs_up(customer, talk)
    dinner, free = await office.records(2)
    assert (dinner.rang, free.rang) == (("102",), ("101",))


@WAYS
async def test_a_stranger_goes_the_normal_way(office: Office, bridge: Bridge, line: str) -> None:
    customer = office.customer(line)
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(customer, boris, hangup_by="customer")


@WAYS
async def test_when_the_bridge_is_away_calls_go_the_normal_way(office: Office, line: str) -> None:
    customer = office.customer(line)
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(customer, boris, hangup_by="customer")
