"""A trace read as a score: what is in it, when each event is due, and what one play of it changes."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from amibridge.sandbox.library import CLICK_TO_CALL
from amibridge.sandbox.pbx_score import Play, read_score
from tests.corpus import TRACES, Trace
from tests.sandbox.ami_client import ANSWERED, BUSY

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
RING = b"Event: Newchannel\r\nTimestamp: 1795491044.800000\r\nUniqueid: 1795491044.6\r\nLinkedid: 1795491044.6\r\n\r\n"
END = b"Event: Hangup\r\nTimestamp: 1795491047.300000\r\nUniqueid: 1795491044.6\r\nLinkedid: 1795491044.6\r\n\r\n"
CDR = b"Event: Cdr\r\nDuration: 3\r\n\r\n\r\n"


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "made.ami"
    path.write_bytes(raw)
    return path


def test_a_score_holds_what_was_said_to_everybody(tmp_path: Path) -> None:
    mine = (
        b"Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n"
        b"Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n"
        b"Event: SuccessfulAuth\r\nTimestamp: 1795491040.000000\r\nAccountID: lab\r\n\r\n"
        b"Event: CoreShowChannel\r\nActionID: 2\r\nUniqueid: 1795491000.1\r\n\r\n"
        b"Event: CoreShowChannelsComplete\r\nActionID: 2\r\nListItems: 1\r\n\r\n"
    )
    originated = b"Event: OriginateResponse\r\nActionID: 3\r\nTimestamp: 1795491045.000000\r\n\r\n"
    score = read_score(written(tmp_path, GREETING + mine + RING + originated + END + CDR))
    assert [note.raw for note in score.notes] == [RING, originated, END, CDR]
    assert [note.at for note in score.notes] == pytest.approx([0.0, 0.2, 2.5, 2.5])
    assert score.first_at == 1795491044.8
    assert score.ids == {(1795491044, 6)}
    assert score.name == "made"
    assert score.has_origination


def test_a_connection_that_broke_off_leaves_no_half_event(tmp_path: Path) -> None:
    half = END[: len(END) // 2]
    assert [note.raw for note in read_score(written(tmp_path, RING + half + GREETING + END)).notes] == [RING]
    assert [note.raw for note in read_score(written(tmp_path, RING + CDR + half)).notes] == [RING, CDR]


def test_an_event_that_is_late_on_the_wire_is_not_played_before_its_turn(tmp_path: Path) -> None:
    notes = read_score(written(tmp_path, RING + END + RING)).notes
    assert [note.at for note in notes] == pytest.approx([0.0, 2.5, 2.5])


@pytest.mark.slow
@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_every_trace_has_a_score_in_order(trace: Trace) -> None:
    score = read_score(trace.path)
    assert score.notes[0].at == 0.0
    assert all(before.at <= after.at for before, after in pairwise(score.notes))
    assert len({counter for _, counter in score.ids}) >= 1


def test_only_a_trace_with_a_click_to_call_has_an_origination() -> None:
    assert read_score(CLICK_TO_CALL).has_origination
    assert not read_score(ANSWERED).has_origination


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    for raw in (b"", GREETING, b"Event: Hangup\r\nCause: 16\r\n\r\n", b"\0" * 1000):
        with pytest.raises(ValueError, match=r"made\.ami: no events"):
            read_score(written(tmp_path, raw))
    with pytest.raises(OSError, match="nowhere"):
        read_score(tmp_path / "nowhere.ami")
    packed = tmp_path / "cut.ami.gz"
    packed.write_bytes(gzip.compress(BUSY.read_bytes())[:500])
    with pytest.raises(OSError, match="cut"):
        read_score(packed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Timestamp: 1795491044.808431\r\n", b"Timestamp: 1795491144.808431\r\n"),
        (b"Uniqueid: 1795491044.6\r\n", b"Uniqueid: 1795491144.6\r\n"),
        (
            b"Value: /m/20261124-x-79161234567-1795491044.6.wav\r\n",
            b"Value: /m/20261124-x-79161234567-1795491144.6.wav\r\n",
        ),
        (b"AppData: 1795491044.6,b\r\n", b"AppData: 1795491144.6,b\r\n"),
        (b"CallerIDNum: 79161234567\r\n", b"CallerIDNum: 79161234567\r\n"),
        (b"Exten: 1795491044\r\n", b"Exten: 1795491044\r\n"),
        (b"Value: 21795491044.6\r\n", b"Value: 21795491044.6\r\n"),
    ],
)
def test_a_play_moves_times_and_ids_and_no_other_number(before: bytes, after: bytes) -> None:
    assert Play(seconds=100).render(before) == after


def test_a_take_renames_bridges_alike_wherever_they_stand() -> None:
    raw = b"BridgeUniqueid: fffffffe-e05d-408a-8f7c-df46cc4c037c\r\nValue: fffffffe-e05d-408a-8f7c-df46cc4c037c\r\n"
    assert Play(take=3).render(raw) == raw.replace(b"fffffffe-", b"00000001-")
    assert Play().render(raw) == raw


def test_words_are_exchanged_whole_and_all_at_once() -> None:
    play = Play(words={b"101": b"205", b"205": b"101", b"89161112233": b"1"})
    raw = (
        b"Channel: PJSIP/101-0000004c\r\nDialString: 89161112233@trunk\r\nExten: 205\r\n"
        b"Uniqueid: 1795491369.101\r\nAccountCode: x101\r\nValue: 1010\r\nCallerIDNum: 101\r\n"
    )
    assert play.render(raw) == (
        b"Channel: PJSIP/205-0000004c\r\nDialString: 1@trunk\r\nExten: 101\r\n"
        b"Uniqueid: 1795491369.101\r\nAccountCode: x101\r\nValue: 1010\r\nCallerIDNum: 205\r\n"
    )
