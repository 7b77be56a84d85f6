"""What breaks around the daemon costs retries, never a call: a wrong key, a database that restarts, a cut link."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from amibridge.sandbox.crm_faults import Hang, TelephonyOff
from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.store.embedded import open_embedded
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.store.proxy import proxy
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import assert_history, wanted_of
from tests.system.law import UPLOAD, assert_law
from tests.system.test_straight_line import KEY, account, pbx_of

CALLS = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind[:2] in ("a_", "h_", "l1", "d_", "k_")]


async def test_a_wrong_key_pauses_its_enterprise_only_and_the_right_one_ends_the_pause(bridge: Bridge) -> None:
    crm, wanted = SandboxCrm([account(), account("key-of-the-neighbour", "Neighbour")]), wanted_of(CALLS)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        hosts = [{"pbx1": await stack.enter_async_context(pbx_of(CALLS).serve())} for _ in range(2)]
        wrong = enterprise_file(
            "0001", crm_url=url, api_key="not-the-key-at-all", hosts=hosts[0], time_zone="Europe/Minsk"
        )
        await bridge.start()
        await bridge.apply(wrong, enterprise_file("0002", crm_url=url, api_key="key-of-the-neighbour", hosts=hosts[1]))
        await assert_law(bridge, crm, crm.account("key-of-the-neighbour"), wanted, enterprise="0002")
        await until(lambda: bridge.log("crm_paused", enterprise="0001"), 30)
        assert bridge.log("crm_paused", enterprise="0002") == []
        await until(lambda: bridge.log("crm_not_followed", enterprise="0001"), 30)
        await asyncio.sleep(0.5)  # what was under way at the pause has been answered
        asked = sum(seen.status == 403 for seen in crm.requests)
        await asyncio.sleep(2)
        assert sum(seen.status == 403 for seen in crm.requests) == asked <= 8, "a paused account has peace"
        await bridge.apply(wrong.replace("not-the-key-at-all", KEY))
        await assert_law(bridge, crm, crm.account(KEY), wanted, enterprise="0001")
        assert "not-the-key-at-all" not in bridge.log_file.read_text("utf-8")


async def test_a_module_that_is_switched_off_pauses_and_loses_nothing(bridge: Bridge) -> None:
    crm, wanted = SandboxCrm([account()]), wanted_of(CALLS)
    async with crm.serve() as url, pbx_of(CALLS).serve() as address:
        crm.faults.give(TelephonyOff(), times=None, path="/api/v5/telephony")
        file = enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        await bridge.start()
        await bridge.apply(file)
        await until(lambda: bridge.log("crm_paused"), 30)
        await until(lambda: len(bridge.log("call_ended")) == len(wanted), 30)
        crm.faults.clear()
        await bridge.apply(file.replace('site = "shop"\n', ""))  # whoever changes the account ends its pause
        await assert_law(bridge, crm, crm.account(KEY), wanted)


async def test_postgresql_restarts_and_nothing_is_lost(tmp_path: Path, unused_tcp_port: int) -> None:
    """It goes in the middle of the calls, is away for a while, and comes back."""
    crm, wanted = SandboxCrm([account()]), wanted_of(CALLS)
    (home := tmp_path / "bridge").mkdir()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        address = await stack.enter_async_context(pbx_of(CALLS, speed=8.0).serve())
        async with open_embedded(tmp_path / "pg", throwaway=True) as database:
            bridge = Bridge(home, database.dsn, unused_tcp_port)
            stack.push_async_callback(bridge.close)
            await bridge.start()
            await bridge.apply(
                enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
            )
            await until(lambda: bridge.log("call_answered"), 30)
        await until(lambda: bridge.log("database_lost"), 30)
        await until(lambda: len(bridge.log("call_ended")) >= 3, 30)
        async with open_embedded(tmp_path / "pg", throwaway=True):
            await assert_law(bridge, crm, crm.account(KEY), wanted)
            assert len(bridge.log("database_lost")) == len(bridge.log("database_back")) == 1
            bridge.send_signal(signal.SIGTERM)
            assert await bridge.ended() == 0


async def test_a_database_that_went_silent_does_not_hold_up_the_stop(
    tmp_path: Path, dsn: str, unused_tcp_port: int
) -> None:
    crm = SandboxCrm([account()])
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        address = await stack.enter_async_context(pbx_of(CALLS, speed=4.0).serve())
        way = await stack.enter_async_context(proxy(dsn))
        bridge = Bridge(tmp_path, way.dsn, unused_tcp_port)
        stack.push_async_callback(bridge.close)
        await bridge.start()
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        await until(lambda: bridge.log("call_answered"), 30)
        way.silent = True
        await until(lambda: bridge.log("call_ended"), 30)
        bridge.send_signal(signal.SIGTERM)
        assert await bridge.ended() == 0
        assert bridge.log("facts_left")


async def test_a_database_that_comes_later_is_waited_for(tmp_path: Path, unused_tcp_port: int) -> None:
    (home := tmp_path / "bridge").mkdir()
    async with AsyncExitStack() as stack:
        async with open_embedded(tmp_path / "pg", throwaway=True) as database:
            bridge = Bridge(home, database.dsn, unused_tcp_port)
            stack.push_async_callback(bridge.close)
        starting = await stack.enter_async_context(asyncio.TaskGroup())
        ready = starting.create_task(bridge.start(), name="start")
        await until(lambda: bridge.log_file.exists() and bridge.log("database_awaited"), 30)
        assert not ready.done()
        await stack.enter_async_context(open_embedded(tmp_path / "pg", throwaway=True))
        await ready
        assert bridge.log("database_there")


def live_calls(lines: list[dict[str, Any]]) -> set[str]:
    """The calls that somebody answered, and whose end *lines* do not tell."""
    answered = {line["call"] for line in lines if line["event"] == "call_answered"}
    return answered - {line["call"] for line in lines if line["event"] == "call_ended"}


async def test_a_link_cut_in_the_middle_of_calls_is_mended_and_no_call_stays_open(bridge: Bridge) -> None:
    crm = SandboxCrm([account()])
    wanted = wanted_of(CALLS)
    pbx = pbx_of(CALLS, speed=4.0)
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.start()
        await bridge.apply(
            enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        )
        await until(lambda: live_calls(bridge.log()), 30)
        pbx.cut()
        await until(lambda: bridge.log("host_lost"), 10)
        await until(lambda: len(bridge.log("host_connected")) == 2, 30)
        await asyncio.wait_for(pbx.played(), 60)
        await until(lambda: len(crm.account(KEY).calls) == len(wanted), 30)
        known = {line["call"] for line in bridge.log("call_ended", complete=False)}
        lines = bridge.log()
        lost = next(at for at, line in enumerate(lines) if line["event"] == "host_lost")
        assert live_calls(lines[:lost]) <= known, "what went on at the cut was not seen whole"
        cut = {int(call.partition(":")[2].partition(".")[0]) for call in known}
        whole = [one for one in wanted if cut.isdisjoint({int(one.began.timestamp()) + slip for slip in (-1, 0, 1)})]
        assert_history(
            crm.account(KEY), whole, stored=[call for call in crm.account(KEY).calls if call.external_id not in known]
        )


async def test_it_stops_in_order_within_ten_seconds_while_the_crm_hangs(bridge: Bridge) -> None:
    """With a request in flight that nobody will ever answer; the next start tells what was left."""
    crm, wanted = SandboxCrm([account()]), wanted_of(CALLS)
    async with crm.serve() as url, pbx_of(CALLS).serve() as address:
        crm.faults.give(Hang(), times=None, path=UPLOAD)
        await bridge.start()
        await bridge.apply(
            enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, time_zone="Europe/Minsk")
        )
        await until(lambda: any(seen.path == UPLOAD for seen in crm.requests), 30)
        await until(lambda: len(bridge.log("call_ended")) == len(wanted), 30)
        bridge.send_signal(signal.SIGTERM)
        await bridge.says("STOPPING=1", 2)
        assert await bridge.ended() == 0
        assert bridge.log("stopped")
        crm.faults.clear()
        await bridge.start()
        await assert_law(bridge, crm, crm.account(KEY), wanted)
