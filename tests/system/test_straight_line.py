"""From AMI bytes to RetailCRM, all of it real: daemon, PostgreSQL, recorded PBXs, a CRM as strict as its contract."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from tests.corpus import TRACES, Trace
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import assert_history, wanted_of

KEY = "key-of-the-straight-line"
USERS = {"101": 27, "102": 31, "103": 35, "104": 36}


def pbx_of(traces: Iterable[Trace], *, speed: float = math.inf, shift: bool = False, **more: Any) -> SandboxPbx:
    """Byte for byte as recorded and as fast as it goes, unless told otherwise."""
    return SandboxPbx(
        [trace.path for trace in traces], username="amibridge", secret="demo", speed=speed, shift=shift, gap=0.0, **more
    )


EVERYDAY = (*"abcdehijkm", "e2", "l1", "l2", "p1", "p2")
TOLD = [
    trace
    for trace in TRACES
    if trace.stack != "asterisk22-tracker"
    and trace.kind.partition("_")[0] in (*EVERYDAY, "f", "g", "l4", "p3", "y", "v")
]


def account(key: str = KEY, name: str = "Ромашка", zone: str = "Europe/Minsk") -> SandboxAccount:
    users = [SandboxUser(user, f"User {extension}", extension) for extension, user in USERS.items()]
    return SandboxAccount("shop", key, ZoneInfo(zone), users, name)


def by_stack() -> dict[str, list[Trace]]:
    return {stack: [trace for trace in TOLD if trace.stack == stack] for stack in dict.fromkeys(t.stack for t in TOLD)}


async def test_every_call_of_the_traces_is_in_the_crm_exactly_once_and_right(bridge: Bridge, tmp_path: Path) -> None:
    """Played as fast as it goes, byte for byte as recorded, on Asterisk 16 and 22, PJSIP and chan_sip at once."""
    stacks, crm = by_stack(), SandboxCrm([account()])
    history = crm.account(KEY)
    wanted = wanted_of(TOLD)
    (monitor := tmp_path / "monitor").mkdir()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        pbxs = {name: pbx_of(traces, monitor_dir=monitor) for name, traces in stacks.items()}
        hosts = {name: await stack.enter_async_context(pbx.serve()) for name, pbx in pbxs.items()}
        await bridge.start()
        await bridge.apply(
            enterprise_file(
                "0123", crm_url=url, api_key=KEY, hosts=hosts, operators={"101": 27}, recordings=str(monitor)
            )
        )
        await until(lambda: len(history.calls) >= len(wanted), 60)
        assert_history(history, wanted)
        assert history.duplicates == []
        assert crm.violations == []
        assert [seen.complaint for seen in crm.requests if seen.complaint] == []
        await _recordings_play(bridge, [call.record_url for call in history.calls if call.record_url])
        bridge.send_signal(15)
        assert await bridge.ended() == 0
    assert_history(history, wanted)
    ours = bridge.log_file.read_text("utf-8")
    assert KEY not in ours
    assert "demo" not in [line.get("secret") for line in bridge.log()]
    assert bridge.log("call_change_not_understood") == []
    for call in history.calls:
        events = [line["event"] for line in bridge.log(call=call.external_id)]
        assert events.count("call_ended") == events.count("call_delivered") == 1, events


async def _recordings_play(bridge: Bridge, addresses: list[str]) -> None:
    assert len(addresses) > 10
    async with aiohttp.ClientSession() as session:
        for address in addresses[:5]:
            assert address.startswith(f"{bridge.url}/recordings/")
            async with session.get(address, headers={"Range": "bytes=0-3"}) as response:
                assert response.status == 206, await response.text()
                assert response.content_type == "audio/mpeg"
                assert (await response.read())[:2] == b"\xff\xf3", "a frame of MPEG 2, layer III"
            async with session.get(f"{address}/1?format=wav", headers={"Range": "bytes=0-3"}) as response:
                assert (response.status, response.content_type) == (206, "audio/wav")
                assert await response.read() == b"RIFF"


async def test_two_enterprises_with_equal_ids_at_the_same_second_stay_apart(bridge: Bridge) -> None:
    """The same recorded PBX twice: equal Uniqueids, equal extensions, equal numbers, two companies."""
    keys = {"0123": "key-of-the-first-shop", "0124": "key-of-the-second-shop"}
    crm = SandboxCrm([account(key, f"Shop {number}") for number, key in keys.items()])
    traces = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind[:2] in ("a_", "h_", "d_")]
    wanted = wanted_of(traces)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        files = []
        for number, key in keys.items():
            hosts = {"pbx1": await stack.enter_async_context(pbx_of(traces).serve())}
            files.append(enterprise_file(number, crm_url=url, api_key=key, hosts=hosts))
        await bridge.start()
        await bridge.apply(*files)
        accounts = [crm.account(key) for key in keys.values()]
        await until(lambda: all(len(one.calls) >= len(wanted) for one in accounts), 30)
        for one in accounts:
            assert_history(one, wanted)
            assert {event.call_external_id for event in one.popups} <= {call.external_id for call in one.calls}


async def test_each_ringing_phone_gets_its_popup_at_once_and_all_are_closed_in_the_end(bridge: Bridge) -> None:
    crm = SandboxCrm([account()])
    trace = next(trace for trace in TRACES if (trace.stack, trace.kind[:2]) == ("asterisk22", "h_"))
    pbx = pbx_of([trace], speed=4.0, shift=True)
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.start()
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        await until(lambda: len(crm.account(KEY).calls) == 1, 30)
        rang = {line["operator"]: line for line in bridge.log("operator_rang")}
        opened = [event for event in crm.account(KEY).popups if event.kind == "in"]
        assert sorted(code for event in opened for code in event.codes) == sorted(rang)
        for event in opened:
            for code in event.codes:
                at = datetime.fromisoformat(rang[code]["timestamp"])
                assert timedelta(0) <= event.at - at < timedelta(seconds=1)
        assert crm.account(KEY).open_popups() == []
