"""What Prometheus reads at a daemon that runs: a call that was played, one that was parked, a CRM that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp

from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_straight_line import KEY, USERS, account, pbx_of
from tests.web.scraping import Scraped, read

NOWHERE = "http://127.0.0.1:1"
"""Where no CRM answers."""

HISTORY_SENT = {"enterprise": "0123", "kind": "history", "status": "sent"}


def answered_call() -> SandboxPbx:
    return pbx_of([trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.startswith("a_")])


async def scraped(bridge: Bridge, client: aiohttp.ClientSession, holds: Callable[[Scraped], object]) -> Scraped:
    """What is told as soon as it *holds*."""
    async with asyncio.timeout(60):
        while True:
            async with client.get(f"{bridge.url}/metrics") as answer:
                assert answer.status == 200
                told = read(await answer.text())
            if holds(told):
                return told
            await asyncio.sleep(0.2)


async def test_a_call_is_seen_from_the_pbx_to_the_crm(bridge: Bridge) -> None:
    """Enterprise 0123 has a CRM, which takes the call and refuses the customer; that of 0124 is away."""
    crm = SandboxCrm([account()])
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        url = await stack.enter_async_context(crm.serve())
        hosts = [await stack.enter_async_context(answered_call().serve()) for _ in range(2)]
        await bridge.start()
        site = "no-such-shop"  # whose customers the CRM refuses
        await bridge.apply(
            enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": hosts[0]}, operators=USERS, site=site),
            enterprise_file(
                "0124",
                crm_url=NOWHERE,
                api_key=KEY,
                hosts={"pbx1": hosts[1]},
                time_zone="Europe/Minsk",
                operators=USERS,
            ),
        )
        told = await scraped(
            bridge,
            client,
            lambda told: (
                told.value("amibridge_deliveries", enterprise="0123", status="parked")
                and told.value("amibridge_deliveries_settled_total", **HISTORY_SENT)
                and told.value("amibridge_crm_requests_total", enterprise="0124", answer="unreachable")
                and told.value("amibridge_crm_history_followed", enterprise="0123", history="orders")
                and told.value("amibridge_ami_events_total", enterprise="0124", host="pbx1", type="Hangup")
            ),
        )
        bridge.send_signal(15)
        assert await bridge.ended() == 0
    for enterprise in ("0123", "0124"):
        host = {"enterprise": enterprise, "host": "pbx1"}
        assert told.value("amibridge_ami_link_state", **host, state="up") == 1
        assert told.value("amibridge_calls_total", **host, direction="incoming", outcome="answered") == 1
        assert told.value("amibridge_call_anomalies_total", **host) == 0
    parked = len(bridge.log("customer_parked", enterprise="0123"))
    assert told.value("amibridge_deliveries", enterprise="0123", status="parked") == parked == 1
    settled = {"enterprise": "0123", "kind": "customer", "status": "parked"}
    assert told.value("amibridge_deliveries_settled_total", **settled) == 1
    assert (told.value("amibridge_crm_requests_total", enterprise="0123", answer="refused") or 0) >= 1
    assert told.value("amibridge_crm_history_followed", enterprise="0124", history="orders") == 0
    assert told.value("amibridge_deliveries", enterprise="0124", status="due")
    assert told.value("amibridge_facts_waiting") == 0
    assert told.value("amibridge_database_up") == 1
    assert (told.value("process_resident_memory_bytes") or 0) > 10_000_000


async def test_a_popup_is_timed_and_a_token_is_asked_for(bridge: Bridge) -> None:
    crm, token = SandboxCrm([account()]), "a-token-that-is-long-enough"
    text = bridge.config.read_text("utf-8")
    bridge.config.write_text(text.replace("[web]\n", f'[web]\nmetrics_token = "{token}"\n'), encoding="utf-8")
    trace = next(trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.startswith("h_"))
    async with (
        crm.serve() as url,
        pbx_of([trace], speed=4.0, shift=True).serve() as address,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        await bridge.start()
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        told = await scraped(
            bridge,
            client,
            lambda told: told.value(
                "amibridge_deliveries_settled_total", enterprise="0123", kind="history", status="sent"
            ),
        )
        opened = [code for event in crm.account(KEY).popups if event.kind == "in" for code in event.codes]
        assert told.value("amibridge_popup_delay_seconds_count", enterprise="0123") == len(opened) == 3
        async with aiohttp.ClientSession() as nobody, nobody.get(f"{bridge.url}/metrics") as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "wrong_token")
    assert token not in bridge.log_file.read_text("utf-8")
