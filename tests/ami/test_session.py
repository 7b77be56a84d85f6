"""One conversation, however its bytes arrive: order, garbage, greetings, snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amibridge.ami.events import (
    AmiEvent,
    ChannelSnapshot,
    Connected,
    FullyBooted,
    Hangup,
    Newchannel,
    Tick,
)
from amibridge.ami.session import MOST_CHANNELS, Reply, Session, SessionState
from tests.ami.pieces import cut, events_in, in_sizes, places_of_each_class, received_in
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

ALL = [trace for trace in TRACES if trace.path.suffix == ".ami"]
LOAD = [trace for trace in TRACES if trace.path.suffix == ".gz"]

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
LOGGED_IN = b"Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n"
BOOTED = b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def hangup(name: str = "x", *, stamp: str = "1795491044.5", more: str = "") -> bytes:
    return (
        f"Event: Hangup\r\nPrivilege: call,all\r\nTimestamp: {stamp}\r\nChannel: PJSIP/101-0000000a\r\n"
        f"CallerIDName: {name}\r\nUniqueid: 1795491044.6\r\nLinkedid: 1795491044.6\r\nCause: 16\r\n{more}\r\n"
    ).encode()


def item(channel: str, action_id: str = "7") -> bytes:
    return (
        f"Event: CoreShowChannel\r\nActionID: {action_id}\r\nChannel: {channel}\r\nChannelState: 6\r\n"
        f"Uniqueid: {channel}.1\r\nLinkedid: {channel}.1\r\nApplication: Dial\r\n"
        "Duration: 01:02:03\r\nBridgeId: \r\n\r\n"
    ).encode()


def complete(action_id: str = "7") -> bytes:
    return f"Event: CoreShowChannelsComplete\r\nActionID: {action_id}\r\nEventList: Complete\r\n\r\n".encode()


class TestPieces:
    @pytest.mark.slow
    @pytest.mark.parametrize("trace", ALL, ids=str)
    def test_byte_by_byte_is_the_same(self, trace: Trace) -> None:
        raw = read_bytes(trace.path)
        assert received_in(in_sizes(raw, [1])) == received_in([raw])

    @pytest.mark.parametrize("trace", ALL, ids=str)
    def test_cuts_at_every_sore_place_are_the_same(self, trace: Trace) -> None:
        raw = read_bytes(trace.path)
        whole = received_in([raw])
        for kind, places in places_of_each_class(raw).items():
            assert places or kind == "inside a letter", kind
            assert received_in(cut(raw, places)) == whole, kind

    @pytest.mark.slow
    @pytest.mark.parametrize("trace", LOAD, ids=str)
    def test_a_busy_pbx_in_segments_is_the_same(self, trace: Trace) -> None:
        raw = read_bytes(trace.path)
        assert received_in(in_sizes(raw, [1460, 1, 2920, 577])) == received_in([raw])

    @pytest.mark.slow
    @settings(max_examples=60)
    @given(trace=st.sampled_from(ALL[:12]), sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
    def test_any_sizes_are_the_same(self, trace: Trace, sizes: list[int]) -> None:
        raw = read_bytes(trace.path)
        assert received_in(in_sizes(raw, sizes)) == received_in([raw])

    def test_letters_lie_across_the_cuts_of_some_trace(self) -> None:
        """Or the test above would say nothing about UTF-8."""
        assert any(places_of_each_class(read_bytes(trace.path))["inside a letter"] for trace in ALL)


class TestConversation:
    def test_the_login_is_seen_step_by_step(self) -> None:
        session = Session()
        states = [session.state]
        assert session.receive_data(GREETING) == []
        [connected, reply] = session.receive_data(LOGGED_IN, NOON)
        states.append(session.state)
        assert connected == Connected(NOON, "11.0.0")
        assert isinstance(reply, Reply)
        assert (reply.action_id, reply.success) == ("1", True)
        assert session.receive_data(BOOTED, NOON) == [FullyBooted(NOON)]
        states.append(session.state)
        assert states == [SessionState.GREETING, SessionState.AUTHENTICATED, SessionState.READY]

    def test_a_refused_login_is_a_reply_like_any_other(self) -> None:
        refused = b"Response: Error\r\nActionID: 1\r\nMessage: Authentication failed\r\n\r\n"
        session = Session()
        [_, reply] = session.receive_data(GREETING + refused)
        assert isinstance(reply, Reply)
        assert not reply.success
        assert reply.message.get("Message") == "Authentication failed"
        assert session.state is SessionState.LOGGING_IN

    def test_events_come_out_in_the_order_they_came_in(self) -> None:
        raw = b"".join(hangup(stamp=f"1795491044.{number:06}") for number in range(1000))
        assert [event.at.microsecond for event in events_in(in_sizes(raw, [333]))] == list(range(1000))

    def test_without_a_timestamp_the_arrival_is_the_time(self) -> None:
        raw = hangup().replace(b"Timestamp: 1795491044.5\r\n", b"")
        assert [one.at for one in Session().receive_data(raw, NOON) if isinstance(one, Hangup)] == [NOON]

    def test_in_a_trace_what_has_no_time_takes_the_last_one(self) -> None:
        [first, second] = events_in([hangup() + hangup().replace(b"Timestamp: 1795491044.5\r\n", b"")])
        assert second.at == first.at == datetime.fromtimestamp(1795491044.5, UTC)

    def test_a_new_greeting_begins_a_new_connection(self) -> None:
        [first, booted, second, again] = events_in([GREETING + BOOTED + GREETING + BOOTED])
        assert (type(first), type(booted), type(second), type(again)) == (Connected, FullyBooted) * 2

    @pytest.mark.parametrize("length", range(1, 120, 7))
    def test_a_greeting_after_half_a_message_loses_only_that_half(self, length: int) -> None:
        session = Session()
        raw = GREETING + BOOTED + hangup()[:length].rstrip(b"\r\n") + GREETING + LOGGED_IN + hangup()
        received = [type(one) for one in session.receive_data(raw)]
        assert received == [Connected, FullyBooted, Connected, Reply, Hangup]
        assert session.garbled == 1


class TestHostileValues:
    @pytest.mark.parametrize(
        "name",
        [
            "Evil: Event: Newchannel",
            "Event: Hangup",
            "Asterisk Call Manager/9.9",
            "Response: Success",
            "Name: x, <b>",
            "\x00",
            "\n\nEvent: Shutdown",
            "%0d%0a%0d%0aEvent: Shutdown",
            "\u202eуважаемый",
            "x" * 100_000,
            "",
        ],
    )
    def test_a_caller_name_stays_a_caller_name(self, name: str) -> None:
        raw = hangup().replace(b"Event: Hangup", b"Event: Newchannel").replace(
            b"CallerIDName: x", f"ChannelState: 4\r\nCallerIDName: {name}".encode()
        )  # fmt: skip
        session = Session()
        [event] = session.receive_data(raw)
        assert isinstance(event, Newchannel)
        assert event.caller_id_name == (name or None)
        assert event.uniqueid == "1795491044.6"
        assert session.garbled == 0

    def test_a_value_at_the_end_cannot_greet(self) -> None:
        raw = hangup(more="AccountCode: Asterisk Call Manager/9.9\r\n")
        assert [type(event) for event in events_in([raw])] == [Hangup]


class TestGarbage:
    @pytest.mark.parametrize(
        ("garbage", "counted"),
        [
            (b"\x00\xff\xfe\x80" * 50 + b"\r\n\r\n", 1),
            (b"no header\r\nanywhere\r\n\r\n", 1),
            (b"Event: Hangup\r\nCause: 16\r\n\r\n", 1),
            (hangup().replace(b"Cause: 16", b"Cause: many"), 1),
            (b"Event: \r\n\r\n", 0),
            (b"Event: NobodyFoldsThis\r\nAnything: goes\r\n\r\n", 0),
            (b"\r\n\r\n\r\n\r\n", 0),
            (item("a").replace(b"01:02:03", b"a day"), 1),
            (item("a").replace(b"ChannelState: 6", b"ChannelState: -3"), 1),
        ],
    )
    def test_it_is_counted_and_the_stream_goes_on(self, garbage: bytes, counted: int) -> None:
        session = Session()
        received = session.receive_data(hangup() + garbage + hangup())
        assert [type(one) for one in received] == [Hangup, Hangup]
        assert session.garbled == counted

    @pytest.mark.parametrize("stamp", ["yesterday", "nan", "1e300", "-1e15"])
    def test_a_time_that_cannot_be_costs_no_event(self, stamp: str) -> None:
        session = Session()
        [good, odd] = session.receive_data(hangup() + hangup(stamp=stamp))
        assert isinstance(good, Hangup)
        assert isinstance(odd, Hangup)
        assert odd.at == good.at
        assert session.garbled == 0

    @pytest.mark.slow
    @settings(max_examples=200)
    @given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([hangup(), item("a"), complete(), GREETING]))))
    def test_any_bytes_at_all_raise_nothing(self, pieces: list[bytes]) -> None:
        session = Session()
        for piece in pieces:
            session.receive_data(piece, NOON)

    @pytest.mark.slow
    @settings(max_examples=300)
    @given(place=st.integers(0, len(hangup()) - 5), byte=st.integers(0, 255))
    def test_a_changed_byte_never_costs_the_next_event(self, place: int, byte: int) -> None:
        broken = bytearray(hangup())
        broken[place] = byte
        assert events_in([bytes(broken) + hangup()])[-1:] == events_in([hangup()])

    def test_a_message_without_end_is_counted(self) -> None:
        session = Session()
        for _ in range(40):
            assert session.receive_data(b"x" * 65536) == []
        assert session.oversized == 2


class TestSnapshot:
    def test_the_items_of_a_list_are_one_event(self) -> None:
        [snapshot] = events_in([item("a") + item("b") + complete()])
        assert isinstance(snapshot, ChannelSnapshot)
        assert [channel.channel for channel in snapshot.channels] == ["a", "b"]
        assert snapshot.channels[0].age == timedelta(hours=1, minutes=2, seconds=3)

    def test_an_empty_list_is_an_event_too(self) -> None:
        assert [event.channels for event in events_in([complete()]) if isinstance(event, ChannelSnapshot)] == [()]

    def test_events_between_the_items_do_not_disturb_it(self) -> None:
        [ended, snapshot] = events_in([item("a") + hangup() + item("b") + complete()])
        assert isinstance(ended, Hangup)
        assert isinstance(snapshot, ChannelSnapshot)
        assert len(snapshot.channels) == 2

    def test_two_lists_at_once_do_not_mix(self) -> None:
        [one, two] = events_in([item("a", "7") + item("b", "8") + complete("8") + complete("7")])
        assert isinstance(one, ChannelSnapshot)
        assert isinstance(two, ChannelSnapshot)
        assert ([c.channel for c in one.channels], [c.channel for c in two.channels]) == (["b"], ["a"])

    def test_a_list_that_a_new_connection_interrupts_is_forgotten(self) -> None:
        events = events_in([GREETING + BOOTED + item("a") + GREETING + BOOTED + item("b") + complete()])
        snapshots = [event for event in events if isinstance(event, ChannelSnapshot)]
        assert [[channel.channel for channel in snapshot.channels] for snapshot in snapshots] == [["b"]]

    def test_a_list_that_does_not_end_does_not_grow_for_ever(self) -> None:
        session = Session()
        for _ in range(3):
            assert session.receive_data(item("a") * (MOST_CHANNELS // 2)) == []
        [snapshot] = session.receive_data(complete())
        assert isinstance(snapshot, ChannelSnapshot)
        assert len(snapshot.channels) == MOST_CHANNELS
        assert session.garbled == MOST_CHANNELS // 2

    def test_it_is_dated_by_the_clock_of_the_pbx(self) -> None:
        """List items carry no Timestamp; a PBX whose clock is an hour ahead would end calls before they began."""
        session = Session()
        ahead = NOON + timedelta(hours=1)
        session.receive_data(hangup(stamp=str(ahead.timestamp())), NOON)
        later = NOON + timedelta(seconds=5)
        [snapshot] = session.receive_data(complete(), later)
        assert isinstance(snapshot, ChannelSnapshot)
        assert snapshot.at == session.pbx_time(later) == ahead + timedelta(seconds=5)

    def test_before_any_event_the_pong_tells_what_the_clock_of_the_pbx_shows(self) -> None:
        session, ahead = Session(), NOON - timedelta(hours=12)
        session.receive_data(b"Response: Success\r\nPing: Pong\r\nTimestamp: %f\r\n\r\n" % ahead.timestamp(), NOON)
        [snapshot] = session.receive_data(complete(), NOON + timedelta(seconds=2))
        assert isinstance(snapshot, ChannelSnapshot)
        assert snapshot.at == ahead + timedelta(seconds=2)

    @pytest.mark.parametrize("stamp", [b"soon", b"nan", b"-inf", b"1e99", b"253402300799", b""])
    def test_a_pong_without_a_time_is_only_a_pong(self, stamp: bytes) -> None:
        session = Session()
        [reply] = session.receive_data(b"Response: Success\r\nPing: Pong\r\nTimestamp: %s\r\n\r\n" % stamp, NOON)
        assert isinstance(reply, Reply)
        assert session.pbx_time(NOON) == NOON

    def test_in_a_trace_a_snapshot_happens_at_the_time_of_what_came_before(self) -> None:
        second = NOON + timedelta(minutes=7)
        stream = hangup(stamp=str(NOON.timestamp())) + hangup(stamp=str(second.timestamp())) + complete()
        [_, _, snapshot] = Session().receive_data(stream)
        assert isinstance(snapshot, ChannelSnapshot)
        assert snapshot.at == second


def test_ticks_never_come_from_the_wire() -> None:
    seen: set[type[AmiEvent]] = {type(event) for trace in ALL for event in events_in([read_bytes(trace.path)])}
    assert Tick not in seen
    assert Hangup in seen
