"""The daemon is killed without a word, again and again, and every call still reaches the CRM once."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from amibridge.calls.notices import RING_NEWS
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import wanted_of
from tests.system.law import assert_law, assert_one_customer_per_number, late_popups, nothing_is_due
from tests.system.test_straight_line import KEY, account, pbx_of

CALLS = [
    trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind[:2] in ("a_", "c_", "h_", "i_", "k_", "d_")
]


def first_uniqueid(trace: Trace) -> str:
    """Of the first channel that a trace of one call shows."""
    first = read_bytes(trace.path).partition(b"Event: Newchannel")[2].partition(b"\r\nUniqueid: ")[2]
    return first.partition(b"\r\n")[0].decode()


LIFE = 0.4
"""Seconds between a start and the next thing to be killed at: as long as a commit may take on a busy machine. A daemon
that never lives so long can promise nothing."""


@pytest.mark.parametrize("pause", [0.0, 0.3])
async def test_killed_in_the_middle_of_calls_it_loses_none_and_tells_none_twice(bridge: Bridge, pause: float) -> None:
    """Killed *pause* after it heard of something: before the commit, in it, in a request, in a verdict."""
    crm, wanted = SandboxCrm([account()]), wanted_of(CALLS)
    history = crm.account(KEY)
    pbx = pbx_of(CALLS, speed=6.0, shift=False, lost=False)
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.start()
        await bridge.apply(
            enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        )
        for _ in range(4):
            heard = len(bridge.log())
            await until(partial(_something_happens, bridge, heard), 30)
            await asyncio.sleep(pause)
            await bridge.kill()
            await bridge.start()
            await until(lambda: bridge.log("host_connected"), 30)
            await asyncio.sleep(LIFE)
        await until(lambda: len(history.calls) >= len(wanted), 60)
        await asyncio.wait_for(pbx.played(), 30)
        await nothing_is_due(bridge)
        bridge.send_signal(15)
        assert await bridge.ended() == 0
    # How a call went while nobody looked cannot be told; that there was one, from whom and which way, can.
    told = {call.external_id: (call.kind, call.phone) for call in history.calls}
    assert told == {
        f"pbx1:{first_uniqueid(trace)}": (one.kind, one.phone) for trace, one in zip(CALLS, wanted, strict=True)
    }
    assert len(history.calls) == len(wanted)
    assert_one_customer_per_number(history, wanted)
    assert late_popups(bridge, crm, history, "0123", RING_NEWS) == []


def _something_happens(bridge: Bridge, heard: int) -> bool:
    return any(line["event"].startswith(("call_", "operator_")) for line in bridge.log()[heard:])


async def test_killed_after_a_call_and_before_the_crm_heard_of_it_the_next_start_tells_it(bridge: Bridge) -> None:
    crm, wanted = SandboxCrm([account()]), wanted_of(CALLS)
    async with pbx_of(CALLS).serve() as address:
        # Nobody listens where the CRM should be.
        await bridge.start()
        dead = "http://127.0.0.1:9"
        file = enterprise_file("0123", crm_url=dead, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        await bridge.apply(file)
        async with asyncio.timeout(60):
            while await _history_rows(bridge) < len(wanted):  # logged is not yet written
                await asyncio.sleep(0.2)
        await until(lambda: bridge.log("crm_in_trouble"), 30)
        await bridge.kill()
    async with crm.serve() as url:
        await bridge.apply(file.replace(dead, url))
        await bridge.start()
        await assert_law(bridge, crm, crm.account(KEY), wanted)
        late = [event for event in crm.account(KEY).popups if event.kind != "hangup"]
        assert late == [], "no popup for a phone that stopped ringing long ago"


async def _history_rows(bridge: Bridge) -> int:
    code, out, err = await bridge.command("deliveries", "0123", "--config", str(bridge.config))
    assert code == 0, err
    return sum(json.loads(line)["kind"] == "history" for line in out.splitlines())
