"""The sandbox PBX leaves a recording where MixMonitor left one, as long as the one that was measured."""

from __future__ import annotations

import json
import os
import wave
from array import array
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from amibridge.sandbox.pbx_channels import Channels
from amibridge.sandbox.pbx_score import read_score
from amibridge.sandbox.recordings import LONGEST, RATE, write_recording
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace
from tests.sandbox.ami_client import ANSWERED, dialled, pbx_of

MEASURED = [
    trace
    for trace in TRACES
    if trace.stack != "asterisk22-tracker"
    and trace.truth.suffix == ".json"
    and trace.kind != "w1_crash_kill9_midcall"  # its recording was never closed
]


def seconds(path: Path) -> float:
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        return float(sound.getnframes() / sound.getframerate())


@pytest.mark.parametrize("trace", MEASURED, ids=str)
def test_each_recording_is_there_and_as_long_as_it_was(trace: Trace, tmp_path: Path) -> None:
    channels = Channels(tmp_path)
    for note in read_score(trace.path).notes:
        channels.observe(note.raw)
    measured = {
        Path(one["path"]).name: one["seconds"] for one in json.loads(read_bytes(trace.truth)).get("recordings", [])
    }
    assert {path.name: seconds(path) for path in tmp_path.iterdir()} == pytest.approx(measured, abs=0.1)


async def test_it_appears_when_the_call_is_over_under_the_name_the_events_told(tmp_path: Path) -> None:
    async with dialled(pbx_of(ANSWERED, speed=10, monitor_dir=tmp_path)) as client:
        await client.follow()
        told = await client.hears("Event: VarSet", "Variable: MIXMONITOR_FILENAME")
        await client.hears("Event: BridgeEnter")
        assert os.listdir(tmp_path) == []
        await client.hears("Event: Hangup", f"Uniqueid: {told['Uniqueid']}")
    assert os.listdir(tmp_path) == [Path(told["Value"]).name]
    assert told["Uniqueid"] in told["Value"]


async def test_nothing_is_recorded_when_nobody_said_where(tmp_path: Path) -> None:
    pbx = pbx_of(ANSWERED)
    async with dialled(pbx) as client:
        await client.follow()
        await client.hears_all(pbx)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("length", [0.0, 0.3, 1.0, 2.5, 29.99])
def test_a_recording_is_exactly_as_long_as_asked_and_heard(length: float, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    write_recording(path, timedelta(seconds=length))
    assert seconds(path) == pytest.approx(length, abs=1 / RATE)
    with wave.open(str(path)) as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
    loudest = max((abs(sample) for sample in samples), default=0)
    assert loudest < 4000  # of 32767
    assert loudest > 1000 or length == 0
    assert max((abs(a - b) for a, b in pairwise(samples)), default=0) < 1500  # nothing clicks


def test_a_long_talk_does_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    write_recording(path, timedelta(hours=3))
    assert seconds(path) == LONGEST.total_seconds()
    assert path.stat().st_size < 500_000
