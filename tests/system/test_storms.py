"""A busy hour with a CRM that fails in every way a CRM ever failed: enterprises at once, each with a storm of its own.

An hour is made short twice over: its calls come together, and the daemon's waits are short (`hurried`). It is long
enough for popups to be no news any more while their phones still ring.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import cycle, islice
from typing import TypeAlias

import pytest

from amibridge.sandbox.crm_faults import (
    BadGateway,
    Busy,
    Cut,
    Fault,
    Faults,
    Hang,
    Nonsense,
    Partly,
    Slow,
    TelephonyOff,
    Torn,
    WrongKey,
)
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.history import assert_history, wanted_of
from tests.system.hurried import PATIENCE, RING_NEWS
from tests.system.law import UPLOAD, asked_events, assert_law
from tests.system.test_straight_line import KEY, account, pbx_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KINDS = (*"acdhk", "l2", "l4", "v")
CALLS = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind.partition("_")[0] in KINDS]

Storm: TypeAlias = Callable[[Faults], None]

WELL, DOWN = "well", "down"
TELEPHONY = "/api/v5/telephony"


def always(fault: Fault, path: str = "/api/") -> Storm:
    return lambda faults: faults.give(fault, times=None, path=path)


def in_turn(*turns: Fault, path: str = "/api/") -> Storm:
    def give(faults: Faults) -> None:
        for fault in islice(cycle(turns), 2_000):
            faults.give(fault, path=path)

    return give


STORMS: dict[str, Storm] = {
    WELL: lambda _: None,
    DOWN: lambda _: None,
    "503": always(Busy()),
    "503, and asks for peace": always(Busy(1)),
    "hangs": in_turn(Hang(), Hang(done=True)),
    "answers late": always(Slow(PATIENCE.total_seconds())),
    "resets": in_turn(Cut(), Torn(done=True), Torn(), Cut(done=True)),
    "HTML": always(BadGateway()),
    "says no under 200": in_turn(
        Nonsense('{"success": false}'), Nonsense('{"success": false, "errorMsg": "Something went wrong"}')
    ),
    "takes a part": in_turn(Partly(1), Partly(1, 200), Partly(0, 200), path=UPLOAD),
    "shuts us out": always(WrongKey()),
    "module off": always(TelephonyOff(), TELEPHONY),
}


def port_of_nobody() -> int:
    """Where nobody is, and nobody comes by chance: below those that a system gives to whoever asks for any."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")


async def test_an_hour_of_calls_in_every_storm_and_the_neighbour_does_not_feel_it(hurried: Bridge) -> None:
    bridge, wanted = hurried, wanted_of(CALLS)
    crms = {name: SandboxCrm([account()]) for name in STORMS}
    numbers = {name: f"{number:04}" for number, name in enumerate(STORMS)}
    pbxs: dict[str, SandboxPbx] = {}
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(crm.serve()) for name, crm in crms.items() if name != DOWN}
        port = port_of_nobody()
        urls[DOWN] = f"http://127.0.0.1:{port}"
        for name, give in STORMS.items():
            give(crms[name].faults)
            pbxs[name] = pbx_of(CALLS, speed=4.0, overlap=len(CALLS))
        await bridge.start()
        await bridge.apply(
            *[
                enterprise_file(
                    numbers[name],
                    crm_url=urls[name],
                    api_key=KEY,
                    hosts={"pbx": await stack.enter_async_context(pbx.serve())},
                )
                for name, pbx in pbxs.items()
            ]
        )
        for pbx in pbxs.values():
            await pbx.played()
        await until(lambda: len(bridge.log("call_ended")) == len(STORMS) * len(wanted), 60)

        # All storms blow, and the neighbour has everything.
        well = crms[WELL].account(KEY)
        await assert_law(bridge, crms[WELL], well, wanted, enterprise=numbers[WELL], news=RING_NEWS)
        assert asked_events(crms[WELL], well)
        for name in STORMS.keys() - {DOWN}:
            await until(partial(_was_asked, crms[name]), 60)
        dropped = partial(bridge.log, "popup_dropped", enterprise=numbers[DOWN])
        await until(lambda: {line["reason"].partition(":")[0] for line in dropped()} & {"stale", "no longer news"})

        for crm in crms.values():
            crm.faults.clear()
        await stack.enter_async_context(crms[DOWN].serve(port=port))
        for name, crm in crms.items():
            await assert_law(bridge, crm, crm.account(KEY), wanted, enterprise=numbers[name], news=RING_NEWS)
        assert_history(well, wanted)
        for name in (DOWN, "503", "HTML"):
            said = [len(bridge.log(event, enterprise=numbers[name])) for event in ("crm_in_trouble", "crm_resumed")]
            assert said == [1, 1], "said once per change of state"


def _was_asked(crm: SandboxCrm) -> bool:
    return len(crm.requests) >= 4
