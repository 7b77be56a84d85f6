"""What the sandbox PBX plays is what was recorded: to the byte, or with *shift* in all but time and ids."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from amibridge.ami.wire import END_OF_MESSAGE
from amibridge.sandbox.library import CLICK_TO_CALL, demo_traces
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace
from tests.delivery.waiting import until
from tests.sandbox.ami_client import (
    ABANDONED,
    ANSWERED,
    BUSY,
    OUTGOING,
    connected,
    dialled,
    messages,
    named,
    pbx_of,
    values,
)

EPOCH = re.compile(rb"\b1[67]\d{8}\.\d+\b")
TIMESTAMP = re.compile(rb"^Timestamp: (1\d{9}\.\d+)\r$", re.MULTILINE)
BRIDGE = re.compile(rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
NOT_FOR_ALL = re.compile(
    rb"Asterisk Call Manager/|\A\s*(Response: |Event: (FullyBooted|SuccessfulAuth)\r\n)|^ActionID: ", re.MULTILINE
)
"""Greetings, answers, lists that were asked for, and the login of whoever recorded the trace."""

PLAYED = [trace for trace in TRACES if str(trace) != "asterisk22/z3_load_readall"]
"""All but the load, which is more of the same."""

SHIPPED = [trace for traces in demo_traces().values() for trace in traces]


def left_out(recorded: bytes, played: bytes) -> Iterator[bytes]:
    """The messages of *recorded* that were not played. Fails for what was played but not recorded, or out of order."""
    at = 0
    for message in re.findall(rb".*?\r\n\r\n(?:\r\n)*", played, re.DOTALL):
        found = recorded.find(message, at)
        assert found >= 0, message
        assert not recorded[at:found].startswith(b"\r\n"), "an event lost its second blank line"
        yield from (part for part in recorded[at:found].split(END_OF_MESSAGE) if part.strip())
        at = found + len(message)
    yield from (part for part in recorded[at:].split(END_OF_MESSAGE) if part.strip())


def times(raw: bytes) -> list[Decimal]:
    return [Decimal(number.decode()) for number in TIMESTAMP.findall(raw)]


async def heard(*traces: Path, shift: bool) -> bytes:
    pbx = pbx_of(*traces, shift=shift)
    async with dialled(pbx) as client:
        await client.follow()
        return await client.hears_all(pbx)


@pytest.mark.parametrize("trace", PLAYED, ids=str)
async def test_every_event_is_byte_for_byte_the_recorded_one(trace: Trace) -> None:
    recorded, played = read_bytes(trace.path), await heard(trace.path, shift=False)
    assert played.count(b"Event: ") > 10
    assert [part for part in left_out(recorded, played) if NOT_FOR_ALL.search(part) is None] == []


async def test_traces_follow_each_other_in_their_order() -> None:
    played = await heard(BUSY, OUTGOING, ABANDONED, shift=False)
    assert played == b"".join([await heard(trace, shift=False) for trace in (BUSY, OUTGOING, ABANDONED)])


@pytest.mark.parametrize("trace", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_moved_play_happens_now_and_keeps_every_distance(trace: Path) -> None:
    recorded = await heard(trace, shift=False)
    began = time.time()
    played = await heard(trace, shift=True)
    moves = {after - before for before, after in zip(times(recorded), times(played), strict=True)}
    [move] = moves
    assert move == int(move)
    assert abs(float(times(played)[0]) - began) < 3

    def moved(number: re.Match[bytes]) -> bytes:
        second, _, fraction = number[0].partition(b".")
        return b"%d.%s" % (int(second) + int(move), fraction)

    bridges = dict(zip(BRIDGE.findall(recorded), BRIDGE.findall(played), strict=True))
    assert len(set(bridges.values())) == len(bridges)
    assert not bridges.keys() & set(bridges.values())
    assert BRIDGE.sub(lambda bridge: bridges[bridge[0]], EPOCH.sub(moved, recorded)) == played


@pytest.mark.parametrize(("overlap", "gap"), [(1, 0.0), (3, 0.0), (2, 0.5)])
async def test_ids_are_unique_over_loops_and_overlapping_takes(overlap: int, gap: float) -> None:
    pbx = pbx_of(ANSWERED, BUSY, loop=True, overlap=overlap, gap=gap)
    async with dialled(pbx) as client:
        await client.follow()
        for _ in range(40):
            await client.hears("Event: Newchannel")
    channels = named(client.heard, "Newchannel")
    assert len(set(values(channels, "Uniqueid"))) == len(channels) >= 40
    calls = [one["Linkedid"] for one in channels if one["Uniqueid"] == one["Linkedid"]]
    assert len(set(calls)) == len(calls) >= 20
    bridges = named(client.heard, "BridgeCreate")
    assert len(set(values(bridges, "BridgeUniqueid"))) == len(bridges) >= 9


async def test_an_endless_play_cannot_keep_the_recorded_ids() -> None:
    with pytest.raises(ValueError, match="without shift"):
        pbx_of(ANSWERED, loop=True, shift=False)


async def test_an_endless_play_is_never_over() -> None:
    pbx = pbx_of(BUSY, loop=True)
    async with dialled(pbx) as client:
        await client.follow()
        await client.hears("Event: Hangup")
        await client.hears("Event: Newchannel")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pbx.played()


async def test_traces_can_be_played_at_once() -> None:
    pbx = pbx_of(ANSWERED, ABANDONED, overlap=2, speed=20)
    async with dialled(pbx) as client:
        await client.follow()
        played = await client.hears_all(pbx)
    calls = [
        (one["Event"], one["Linkedid"]) for one in messages(played) if one.get("Event") in ("Newchannel", "Hangup")
    ]
    first_end = next(at for at, (event, _) in enumerate(calls) if event == "Hangup")
    assert len({call for _, call in calls[:first_end]}) == 2


async def test_nothing_is_played_before_somebody_has_logged_in() -> None:
    pbx = pbx_of(BUSY)
    async with pbx.serve() as address, connected(address) as stranger, connected(address) as client:
        await stranger.greeting()
        assert (await stranger.ask("Ping"))["Message"] == "Permission denied"
        assert await client.follow() == []
        assert named(await client.hears_all(pbx), "Newchannel")
        await stranger.ask("Ping")
        assert stranger.heard == b""


async def test_two_listeners_hear_the_same() -> None:
    pbx = pbx_of(ABANDONED, speed=20)
    async with pbx.serve() as address, connected(address) as one, connected(address) as other:
        await one.login()
        await other.login()
        first, second = await one.hears_all(pbx), await other.hears_all(pbx)
    assert first.endswith(second)
    assert named(second, "Hangup") == named(first, "Hangup")


@pytest.mark.parametrize("lost", [True, False])
async def test_who_is_away_misses_what_happens_unless_nothing_may_be_lost(lost: bool) -> None:
    """The second phone rings for a second and a half before it is answered: there the first listener leaves."""
    whole = await heard(ANSWERED, shift=False)
    pbx = pbx_of(ANSWERED, shift=False, lost=lost, speed=5)
    async with pbx.serve() as address:
        async with connected(address) as one:
            await one.follow()
            await one.hears("Event: DialState", "DialStatus: RINGING")
        await until(lambda: pbx.connections == 0)
        if lost:
            await pbx.played()
        else:
            with pytest.raises(TimeoutError):  # the whole call takes less
                async with asyncio.timeout(1.2):
                    await pbx.played()
        async with connected(address) as other:
            living = await other.follow()
            await other.hears_all(pbx)
    first, second = one.played, other.played
    assert whole.startswith(first)
    assert (len(living), second) == ((0, b"") if lost else (2, whole.removeprefix(first)))
    assert (len(named(first, "Newchannel")), len(named(second, "Hangup"))) == (2, 0 if lost else 2)


async def test_who_comes_late_hears_the_rest() -> None:
    whole = await heard(ANSWERED, shift=False)
    pbx = pbx_of(ANSWERED, shift=False, speed=10)
    async with pbx.serve() as address, connected(address) as one, connected(address) as late:
        await one.login()
        await one.hears("Event: DialState", "DialStatus: RINGING")
        await late.login()
        rest = await late.hears_all(pbx)
    assert 0 < len(rest) < len(whole)
    assert whole.endswith(rest)


async def test_speed_is_respected() -> None:
    """The recorded call takes three seconds."""
    took: dict[float, float] = {}
    for speed in (4.0, 16.0):
        async with dialled(pbx_of(ABANDONED, speed=speed)) as client:
            began = time.monotonic()
            await client.follow()
            await client.hears("Event: DialEnd", "DialStatus: CANCEL")
            took[speed] = time.monotonic() - began
    assert took[4.0] > 0.9 * 3 / 4
    assert 0.9 * 3 / 16 < took[16.0] < took[4.0]


async def test_between_two_traces_there_is_a_gap() -> None:
    async with dialled(pbx_of(BUSY, BUSY, speed=10, gap=4)) as client:
        await client.follow()
        for _ in range(2):
            await client.hears("Event: Hangup")
        began = time.monotonic()
        await client.hears("Event: Newchannel")
        assert 0.35 < time.monotonic() - began < 3


async def test_who_serves_again_plays_again_and_nobody_lives_before() -> None:
    pbx = pbx_of(ANSWERED, speed=10)
    for _ in range(2):
        async with dialled(pbx) as client:
            await client.follow()
            await client.hears("Event: BridgeEnter")
            assert len(await client.living()) == 2


async def test_the_callers_own_error_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with pbx_of(BUSY).serve():
            raise LookupError("mine")


def test_the_library_has_a_click_to_call_and_every_stack() -> None:
    assert CLICK_TO_CALL in SHIPPED
    assert {trace.parent.name for trace in SHIPPED} == {"asterisk22", "asterisk16", "asterisk16-chan_sip"}
    assert all(trace.with_name(f"{trace.stem}.truth.json").exists() for trace in SHIPPED)
