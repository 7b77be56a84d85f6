"""Webhooks of the real daemon, which is killed while it tells; receivers that are away; CRMs that feel nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.store.db import connect
from tests.corpus import TRACES
from tests.delivery.bench import CUT_THE_OTHERS
from tests.delivery.waiting import until
from tests.delivery.webhooks.receiver import SECRET, Receiver, Told
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import wanted_of
from tests.system.law import assert_law
from tests.system.test_straight_line import KEY, account, pbx_of
from tests.system.webhook_law import assert_webhook_law

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CALLS = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind[:2] in ("a_", "c_", "d_", "h_", "k_")]
KEYS = {"0123": KEY, "0124": "key-of-the-second-shop"}


def told_by(file: str, *webhooks: tuple[str, str]) -> str:
    """*file* with (name, url) of each."""
    tables = [f'[[webhooks]]\nname = "{name}"\nurl = "{url}"\nsecret = "{SECRET}"\n' for name, url in webhooks]
    return file + "".join(tables)


class Gate:
    """Holds the answers to events until it is opened; *held*: how many wait."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.held = 0

    async def __call__(self, told: Told) -> None:
        self.held += 1
        await self.open.wait()


async def slow(told: Told) -> None:
    await asyncio.sleep(0.02)


async def test_killed_while_it_tells_each_receiver_hears_all_in_order_and_nobody_anothers(
    bridge: Bridge, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """Two companies with equal ids, extensions and names of webhooks; one's second receiver is dead until the end."""
    crm, wanted = SandboxCrm([account(key, f"Shop {number}") for number, key in KEYS.items()]), wanted_of(CALLS)
    dead_port = unused_tcp_port_factory()
    receivers = {number: Receiver() for number in KEYS}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        files = []
        for number, key in KEYS.items():
            receiver = await stack.enter_async_context(receivers[number].serve())
            hosts = {"pbx1": await stack.enter_async_context(pbx_of(CALLS, lost=False).serve())}
            file = enterprise_file(number, crm_url=url, api_key=key, hosts=hosts, time_zone="Europe/Minsk")
            dead = ("late", f"http://127.0.0.1:{dead_port}/calls")
            files.append(told_by(file, ("erp", receiver.url), *([dead] if number == "0123" else [])))
        database = await connect(bridge.dsn)
        stack.push_async_callback(database.close)
        first, second = receivers.values()
        await bridge.apply(*files)

        # What was told is not answered. Meanwhile the CRMs hear of every call.
        first.answer, second.answer = (gate := Gate()), slow
        await bridge.start()
        await until(lambda: gate.held, 60)
        await until(lambda: all(len(crm.account(key).calls) == len(wanted) for key in KEYS.values()), 60)
        await bridge.kill()
        gate.open.set()

        # It is answered, and nobody can write that down.
        first.answer = gate = Gate()
        await bridge.start()
        await until(lambda: gate.held, 60)
        async with database.transaction():
            await database.execute("LOCK TABLE deliveries IN EXCLUSIVE MODE")
            gate.open.set()
            first.answer = slow
            async with asyncio.timeout(60):
                while not await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
            await bridge.kill()
            await database.execute(CUT_THE_OTHERS)

        # Wherever it is just now.
        for _ in range(3):
            await bridge.start()
            await asyncio.sleep(0.3)
            await bridge.kill()

        await bridge.start()
        for number, key in KEYS.items():
            await assert_law(bridge, crm, crm.account(key), wanted, enterprise=number)
            await assert_webhook_law(bridge, database, receivers[number], enterprise=number)
        assert set(first.ids()).isdisjoint(second.ids())
        assert len(first.told) > len(set(first.ids())), "what was not answered is told again"
        wanted_states = {("0123", "erp"): "well", ("0123", "late"): "troubled", ("0124", "erp"): "well"}
        async with asyncio.timeout(60), aiohttp.ClientSession() as client:
            while await _states(client, bridge) != wanted_states:
                await asyncio.sleep(0.1)

        late = Receiver()
        await stack.enter_async_context(late.serve(dead_port))
        await assert_webhook_law(bridge, database, late, enterprise="0123", webhook="late")
        assert set(late.ids()) == set(first.ids())
        bridge.send_signal(15)
        assert await bridge.ended() == 0
    assert SECRET not in bridge.log_file.read_text("utf-8")


async def test_a_secret_is_made_and_shown_once_and_commands_tell_of_the_webhook(bridge: Bridge, tmp_path: Path) -> None:
    crm = SandboxCrm([account()])
    receiver = Receiver("")
    async with crm.serve() as url, receiver.serve(), pbx_of(CALLS[:1]).serve() as address:
        file = enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        written = tmp_path / "0123.toml"
        written.write_text(file + f'[[webhooks]]\nname = "erp"\nurl = "{receiver.url}"\n', encoding="utf-8")
        apply = ("enterprise", "apply", "--config", str(bridge.config), str(written))
        code, out, err = await bridge.command(*apply)
        assert code == 0, err
        applied = json.loads(out)
        assert "webhook erp added" in applied["changes"]
        receiver.secret = applied["webhook_secrets"]["erp"]
        code, out, _ = await bridge.command(*apply)
        assert json.loads(out) == {"enterprise": "0123", "changes": []}
        code, out, _ = await bridge.command("enterprise", "show", "--config", str(bridge.config), "0123")
        [shown] = json.loads(out)["webhooks"]
        assert shown == {
            "name": "erp",
            "url": receiver.url,
            "secret": "******",
            "previous_secret": None,
            "events": None,
        }
        assert receiver.secret not in out

        await bridge.start()
        await until(lambda: any(one.event["event"] in ("call.finished", "call.missed") for one in receiver.taken), 60)
        assert receiver.forged == []
        told = len(receiver.told)
        code, out, _ = await bridge.command("doctor", "--config", str(bridge.config), "0123")
        assert "127.0.0.1 takes what we sign (204)" in out, out
        ping = receiver.told[-1]
        assert (len(receiver.told), ping.event["event"]) == (told + 1, "ping")
        assert receiver.forged == []
        code, out, _ = await bridge.command("deliveries", "--config", str(bridge.config), "0123", "--text")
        assert "webhook erp  sent" in out, out


async def _states(client: aiohttp.ClientSession, bridge: Bridge) -> dict[tuple[str, str], str]:
    async with client.get(f"{bridge.url}/health/ready") as answer:
        assert answer.status == 200, "a receiver that is away makes nobody unready"
        told = await answer.json()
    return {(one["enterprise"], one["webhook"]): one["state"] for one in told["webhooks"]}
