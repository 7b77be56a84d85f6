"""One call out of a trace: what a replay of the cut tells of it is what a replay of the whole tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from amibridge.ami.cutting import LONGEST_ORIGINATE, Kinship, cut, cut_call
from amibridge.ami.session import Reply, Session
from amibridge.ami.transcript import ended
from amibridge.ami.wire import Framer
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId, CallRecord
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

LOAD = [trace for trace in TRACES if trace.path.suffix == ".gz"]
STACKS = sorted({trace.stack for trace in TRACES})

GREETING = b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nMessage: Authentication accepted\r\n\r\n"


@dataclass
class Told:
    """All that is said of one call, and its record so far if it is not over."""

    facts: list[AnyFact] = field(default_factory=list)
    live: CallRecord | None = None


def told_in(raw: bytes) -> dict[CallId, Told]:
    board, told = Board("pbx"), dict[CallId, Told]()
    for received in Session().receive_data(raw):
        if not isinstance(received, Reply):
            for fact in board.apply(received):
                told.setdefault(fact.call, Told()).facts.append(fact)
    for record in board.live_calls():
        told.setdefault(record.call_id, Told()).live = record
    return told


def kin_in(messages: Sequence[bytes], call: str) -> frozenset[bytes]:
    kinship = Kinship()
    for message in messages:
        kinship.learn(message)
    return kinship.of(call.partition(":")[2].encode())


def assert_every_cut_tells_the_same(raw: bytes, *, every: int = 1) -> None:
    messages, whole = Framer().feed(raw), told_in(raw)
    kinship = Kinship()
    for message in messages:
        kinship.learn(message)
    assert whole
    for call in list(whole)[::every]:
        kin = kinship.of(call.partition(":")[2].encode())
        assert told_in(ended(cut(messages, kin)))[call] == whole[call], call


def timed(name: str, at: float, **headers: str) -> bytes:
    lines = [f"Event: {name}", f"Timestamp: {at:.6f}", *(f"{key}: {value}" for key, value in headers.items())]
    return "\r\n".join(lines).encode()


class TestAllTraces:
    @pytest.mark.parametrize("trace", [trace for trace in TRACES if trace not in LOAD], ids=str)
    def test_each_call_of_a_trace(self, trace: Trace) -> None:
        assert_every_cut_tells_the_same(read_bytes(trace.path))

    @pytest.mark.slow
    @pytest.mark.parametrize("trace", LOAD, ids=str)
    def test_some_of_hundreds_of_calls_at_once(self, trace: Trace) -> None:
        assert_every_cut_tells_the_same(read_bytes(trace.path), every=41)

    @pytest.mark.slow
    @pytest.mark.parametrize("stack", STACKS)
    def test_each_call_of_a_day_with_many_connections(self, stack: str) -> None:
        """One trace after another, as a ring has them: a greeting in the middle is a new connection."""
        day = [trace for trace in TRACES if trace.stack == stack and trace not in LOAD]
        assert_every_cut_tells_the_same(b"".join(read_bytes(trace.path) for trace in day))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["n1_blind_refer", "v_two_calls_same_caller", "x_ami_reconnect_midcall"])
    def test_wherever_the_bytes_begin_and_end(self, kind: str) -> None:
        raw = read_bytes(next(trace for trace in TRACES if (trace.stack, trace.kind) == ("asterisk22", kind)).path)
        for start in range(0, len(raw), len(raw) // 23):
            for end in (len(raw), len(raw) - len(raw) // 5):
                if told_in(raw[start:end]):
                    assert_every_cut_tells_the_same(raw[start:end])


def test_of_a_call_nothing_of_the_others_is_left() -> None:
    raw = read_bytes(next(trace for trace in TRACES if trace.kind == "v_two_calls_same_caller").path)
    one, other = told_in(raw)
    messages = Framer().feed(raw)
    text = ended(cut_call(messages, one.partition(":")[2].encode()))
    assert one.partition(":")[2].encode() in text
    assert other.partition(":")[2].encode() not in text
    assert b"PeerStatus" not in text
    assert b"SuccessfulAuth" not in text


def test_a_call_that_nobody_heard_of_has_no_messages() -> None:
    messages = Framer().feed(read_bytes(TRACES[0].path))
    assert cut_call(messages, b"1.1") == []
    assert cut_call([], b"1.1") == []
    assert cut_call(messages, b"") == []


class TestKinship:
    @pytest.mark.parametrize(
        "prefix", ["Dest", "OrigTransferer", "SecondTransferer", "Transferee", "Parkee", "Target", "LocalOne", ""]
    )
    def test_ids_of_any_prefix_in_one_message_are_akin(self, prefix: str) -> None:
        messages = [timed("Any", 1, Uniqueid="1.1", **{f"{prefix}Linkedid": "1.2"})]
        assert kin_in(messages, "pbx:1.1") == {b"1.1", b"1.2"}

    @pytest.mark.parametrize("value", ["", "<unknown>", "<null>"])
    def test_no_id_is_no_kin(self, value: str) -> None:
        messages = [timed("Any", 1, Uniqueid=uid, DestUniqueid=value) for uid in ("1.1", "2.2")]
        assert kin_in(messages, "pbx:1.1") == {b"1.1"}

    def test_a_bridge_is_no_channel(self) -> None:
        messages = [timed("Any", 1, Uniqueid=uid, BridgeUniqueid="b", OrigBridgeUniqueid="b") for uid in ("1.1", "2.2")]
        assert kin_in(messages, "pbx:1.1") == {b"1.1"}

    @pytest.mark.parametrize(("kind", "akin"), [("basic", True), ("base", True), ("parking", False)])
    def test_who_meets_in_a_conversation_is_akin(self, kind: str, akin: bool) -> None:
        enters = [
            timed("BridgeEnter", 1, BridgeUniqueid="b", BridgeType=kind, Uniqueid=uid, Linkedid=uid)
            for uid in ("1.1", "2.2")
        ]
        assert kin_in(enters, "pbx:1.1") == ({b"1.1", b"2.2"} if akin else {b"1.1"})

    def test_who_came_when_the_other_had_left_did_not_meet_him(self) -> None:
        headers = {"BridgeUniqueid": "b", "BridgeType": "basic"}
        messages = [
            timed("BridgeEnter", 1, Uniqueid="1.1", **headers),
            timed("BridgeLeave", 2, Uniqueid="1.1", **headers),
            timed("BridgeEnter", 3, Uniqueid="2.2", **headers),
        ]
        assert kin_in(messages, "pbx:1.1") == {b"1.1"}

    def test_who_meets_somebody_that_a_snapshot_shows_is_akin(self) -> None:
        messages = [
            timed("CoreShowChannel", 1, Uniqueid="1.1", Linkedid="1.1", BridgeId="b"),
            timed("CoreShowChannel", 1, Uniqueid="3.3", Linkedid="3.3", BridgeId=""),
            timed("CoreShowChannelsComplete", 1),
            timed("BridgeEnter", 2, BridgeUniqueid="b", BridgeType="basic", Uniqueid="2.2", Linkedid="2.2"),
        ]
        assert kin_in(messages, "pbx:1.1") == {b"1.1", b"2.2"}

    @pytest.mark.parametrize(("later", "akin"), [(30.0, True), (LONGEST_ORIGINATE + 1, False)])
    def test_a_failure_that_names_no_channel_may_be_of_any_that_was_rung_there(self, later: float, akin: bool) -> None:
        rung = [
            timed("DialBegin", at, DestChannel=f"PJSIP/101-0000000{at:.0f}", DestUniqueid=f"{at:.0f}.1")
            for at in (1.0, 2.0)
        ]
        failed = timed("OriginateResponse", 2 + later, Response="Failure", Channel="PJSIP/101", Uniqueid="<null>")
        assert kin_in([*rung, failed], "pbx:1.1") == ({b"1.1", b"2.1"} if akin else {b"1.1"})
        assert (failed in cut_call([*rung, failed], b"1.1")) is True
        assert failed not in cut_call([timed("Newchannel", 1, Uniqueid="9.9"), failed], b"9.9")


class TestTime:
    def test_what_has_no_time_of_its_own_keeps_the_one_it_had(self) -> None:
        """A snapshot, dated by what was heard last, which was of another call."""
        messages = [
            timed("Hangup", 100.5, Uniqueid="9.9", Linkedid="9.9", Channel="PJSIP/9-0"),
            timed("Newexten", 500.5, Uniqueid="9.9"),
            b"Event: CoreShowChannel\r\nUniqueid: 1.1\r\nLinkedid: 1.1",
            b"Event: CoreShowChannelsComplete",
        ]
        entry, pong, complete = cut_call(messages, b"1.1")
        assert b"Timestamp: 100.500000" in ended([entry, pong])
        assert complete == messages[-1]

    def test_a_greeting_after_the_last_message_of_the_call_stays(self) -> None:
        raw = GREETING.rstrip(b"\r\n")
        messages = [timed("Newchannel", 1, Uniqueid="1.1"), timed("Hangup", 2, Uniqueid="9.9", Linkedid="9.9"), raw]
        kept = cut_call(messages, b"1.1")
        assert kept[-1] == raw
        assert b"Ping: Pong\r\nTimestamp: 2.000000" in kept[-2]
