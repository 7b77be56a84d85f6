"""The doctor beside a bridge that runs: it passes on what the bridge says, and disturbs nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from amibridge.sandbox.crm_faults import TelephonyOff
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.law import nothing_is_due
from tests.system.test_straight_line import KEY, USERS, account, pbx_of

RING_GROUP = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind == "h_ringgroup_102_answers"]


@asynccontextmanager
async def followed(bridge: Bridge, crm: SandboxCrm) -> AsyncIterator[SandboxPbx]:
    """A PBX that the running bridge follows, for a shop with that CRM; one call is played."""
    pbx = pbx_of(RING_GROUP, shift=True)
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.start()
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}, operators=USERS))
        yield pbx


async def asked(bridge: Bridge) -> tuple[int, dict[str, Any]]:
    """Exit code, and what was found by what was looked at."""
    code, out, _ = await bridge.command("doctor", "0123", "--json", "--config", str(bridge.config))
    return code, {one["about"]: one for one in map(json.loads, out.splitlines())}


async def test_all_is_well_after_the_first_call(bridge: Bridge) -> None:
    async with followed(bridge, SandboxCrm([account()])) as pbx:
        await until(lambda: bridge.log("call_delivered"))
        await nothing_is_due(bridge)
        code, found = await asked(bridge)
        assert [one for one in found.values() if one["level"] == "fail"] == []
        assert code == 0
        assert (found["pbx1 followed"]["level"], found["CRM told"]["level"]) == ("ok", "ok")
        assert found["deliveries"]["found"].startswith("the newest was told")
        assert found["pbx1 events"]["level"] == "ok"  # nobody calls now, and the call that was proves them
        await until(lambda: pbx.connections == 1)
        assert not bridge.log("host_lost")


async def test_a_telephony_module_that_is_off_shows_in_what_the_bridge_says(bridge: Bridge) -> None:
    crm = SandboxCrm([account()])
    crm.faults.give(TelephonyOff(), times=None, path="/api/v5/telephony")
    async with followed(bridge, crm):
        await until(lambda: bridge.log("crm_paused"))
        code, found = await asked(bridge)
    assert code == 1
    assert found["CRM told"]["level"] == "fail"
    assert "Telephony not enabled" in found["CRM told"]["found"]
