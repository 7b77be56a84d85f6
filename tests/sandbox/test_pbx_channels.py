"""What CoreShowChannels says in the middle of a call: what real Asterisk said, and exactly the channels that live."""

from __future__ import annotations

import re

import pytest

from amibridge.sandbox.pbx_channels import Channels
from amibridge.sandbox.pbx_score import read_score
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace
from tests.sandbox.ami_client import ANSWERED, BUSY, Headers, dialled, messages, pbx_of

LISTED = [trace for trace in TRACES if trace.kind == "x_ami_reconnect_midcall"]
"""Somebody came back in the middle of a call and asked what lives."""

WITH_TRUTH = [trace for trace in TRACES if trace.stack != "asterisk22-tracker" and trace.truth.suffix == ".json"]
SURVIVING = {"w1_crash_kill9_midcall": 2}
"""Channels that live at the end of a trace: that Asterisk was killed."""


def answers(raw: bytes) -> list[Headers]:
    """What Asterisk listed, as recorded."""
    return [one for one in messages(raw) if one.get("Event") == "CoreShowChannel"]


@pytest.mark.parametrize("trace", LISTED, ids=str)
def test_the_list_is_the_one_real_asterisk_gave_at_that_moment(trace: Trace) -> None:
    raw = read_bytes(trace.path)
    asked_at = raw.index(b"Event: CoreShowChannel\r\n")
    login = re.findall(rb"Timestamp: (\S+)\r\n", raw[:asked_at])[-1]
    channels, played = Channels(), 0
    for note in read_score(trace.path).notes:
        if (played := raw.index(note.raw, played)) > asked_at:
            break
        channels.observe(note.raw)
    theirs = {one["Uniqueid"]: one for one in answers(raw)}
    ours = {one["Uniqueid"]: one for one in channels.shown(float(login))}
    assert len(theirs) == 2
    assert ours.keys() == theirs.keys()
    for uniqueid, listed in theirs.items():
        assert ours[uniqueid] == {name: value for name, value in listed.items() if name not in ("Event", "ActionID")}


@pytest.mark.parametrize("trace", WITH_TRUTH, ids=str)
def test_at_every_moment_exactly_the_channels_live_that_began_each_in_its_bridge(trace: Trace) -> None:
    channels, alive = Channels(), dict[str, str]()
    score = read_score(trace.path)
    for note in score.notes:
        [event] = messages(note.raw)
        channels.observe(note.raw)
        match event["Event"]:
            case "Newchannel":
                alive[event["Uniqueid"]] = ""
            case "BridgeEnter":
                alive[event["Uniqueid"]] = event["BridgeUniqueid"]
            case "BridgeLeave":
                alive[event["Uniqueid"]] = ""
            case "Hangup":
                del alive[event["Uniqueid"]]
            case _:
                continue
        shown = {one["Uniqueid"]: one["BridgeId"] for one in channels.shown(score.first_at + note.at)}
        assert shown == alive
        assert len(channels) == len(alive)
    assert len(alive) == SURVIVING.get(trace.kind, 0)


async def test_in_the_middle_of_a_talk_both_are_up_and_in_one_bridge() -> None:
    """At four times the speed of life: the recorded clock goes on between two events."""
    async with dialled(pbx_of(ANSWERED, speed=4)) as client:
        await client.follow()
        first = await client.hears("Event: BridgeEnter", "BridgeNumChannels: 1")
        second = await client.hears("Event: BridgeEnter", "BridgeNumChannels: 2")
        living = await client.living()
        later = living
        while [one["Duration"] for one in later] == [one["Duration"] for one in living]:
            later = await client.living()
    assert {one["Uniqueid"] for one in living} == {first["Uniqueid"], second["Uniqueid"]}
    for one in living:
        assert one["BridgeId"] == first["BridgeUniqueid"]
        assert (one["ChannelState"], one["ChannelStateDesc"]) == ("6", "Up")
        assert "00:00:01" <= one["Duration"] <= "00:00:03"
        assert "Privilege" not in one
    assert max(one["Duration"] for one in living) < max(one["Duration"] for one in later) <= "00:00:04"
    assert {one["Application"] for one in living} == {"Dial", "AppDial"}


async def test_while_it_rings_nobody_is_in_a_bridge() -> None:
    async with dialled(pbx_of(ANSWERED, speed=4)) as client:
        await client.follow()
        await client.hears("Event: Newstate", "ChannelStateDesc: Ringing")
        states = {
            one["Channel"].partition("-")[0]: (one["ChannelStateDesc"], one["BridgeId"])
            for one in await client.living()
        }
    assert states == {"PJSIP/trunk": ("Ring", ""), "PJSIP/101": ("Ringing", "")}


async def test_after_the_call_nothing_lives() -> None:
    pbx = pbx_of(ANSWERED, BUSY)
    async with dialled(pbx) as client:
        await client.follow()
        await client.hears_all(pbx)
        assert await client.living() == []


async def test_a_play_without_a_clock_can_be_asked_too() -> None:
    """As fast as it goes there is no time between two events; here the last one is that Asterisk was killed."""
    [crash] = [trace.path for trace in TRACES if trace.kind == "w1_crash_kill9_midcall"]
    pbx = pbx_of(crash)
    async with dialled(pbx) as client:
        await client.follow()
        await client.hears_all(pbx)
        listed = await client.living()
    assert len(listed) == 2
    assert all(re.fullmatch(r"00:00:0\d", one["Duration"]) for one in listed)
