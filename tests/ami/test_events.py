"""Messages to typed events: what each reads, what it does without, and what nobody folds."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami.events import (
    AttendedTransfer,
    BlindTransfer,
    BridgeEnter,
    BridgeLeave,
    BridgeUniqueid,
    ChannelState,
    CoreShowChannel,
    CoreShowChannelsComplete,
    DialBegin,
    DialEnd,
    Event,
    FullyBooted,
    Hangup,
    HangupRequest,
    Hold,
    Linkedid,
    NewCallerid,
    Newchannel,
    Newstate,
    OriginateResponse,
    ParkedCall,
    Pickup,
    QueueCallerAbandon,
    QueueCallerJoin,
    QueueCallerLeave,
    Shutdown,
    Unhold,
    Uniqueid,
    VarSet,
)
from amibridge.ami.reading import READERS, MalformedMessage, Parsed, known, parse_event, reader_of, sift
from amibridge.ami.wire import Framer, split
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

AT = datetime(2026, 11, 24, 3, 30, 44, 500000, UTC)
ARRIVED = AT + timedelta(seconds=1)

CHANNEL = {"Channel": "PJSIP/101-0000000a", "Uniqueid": "1795491044.7", "Linkedid": "1795491044.6"}
SELF = ("PJSIP/101-0000000a", Uniqueid("1795491044.7"), Linkedid("1795491044.6"))
DEST = {"DestChannel": "PJSIP/102-0000000b", "DestUniqueid": "1795491044.8", "DestLinkedid": "1795491044.6"}
TO = ("PJSIP/102-0000000b", Uniqueid("1795491044.8"), Linkedid("1795491044.6"))
BRIDGE = BridgeUniqueid("4dd7-11")


def wire(name: str, headers: dict[str, str], *, stamped: bool = True) -> bytes:
    stamp = {"Timestamp": str(AT.timestamp())} if stamped else {}
    lines = {"Event": name, "Privilege": "call,all"} | stamp | headers
    return "\r\n".join(f"{key}: {value}" for key, value in lines.items()).encode()


READ: list[tuple[str, dict[str, str], Parsed]] = [
    (
        "Newchannel",
        CHANNEL
        | {"ChannelState": "4", "CallerIDNum": "79161234567", "CallerIDName": "<unknown>"}
        | {"Context": "from-trunk", "Exten": "74951110001"},
        Newchannel(AT, *SELF, ChannelState.RING, "79161234567", None, "from-trunk", "74951110001"),
    ),
    ("Newchannel", CHANNEL | {"ChannelState": "0"}, Newchannel(AT, *SELF, ChannelState.DOWN, None, None, "", "")),
    ("Newstate", CHANNEL | {"ChannelState": "6"}, Newstate(AT, *SELF, ChannelState.UP)),
    ("Newstate", CHANNEL | {"ChannelState": "9"}, Newstate(AT, *SELF, ChannelState.DOWN)),
    (
        "NewCallerid",
        CHANNEL | {"CallerIDNum": "101", "CallerIDName": "Анна"},
        NewCallerid(AT, *SELF, "101", "Анна"),
    ),
    (
        "NewCallerid",
        CHANNEL | {"CallerIDName": r"O\'Brien \& Co\?"},
        NewCallerid(AT, *SELF, None, r"O'Brien \& Co?"),
    ),
    (
        "NewCallerid",  # from chan_pjsip: escaped by SIP, then by AMI
        CHANNEL | {"CallerIDName": r'Evil\\\"Name: C:\\\\new'},
        NewCallerid(AT, *SELF, None, r'Evil"Name: C:\new'),
    ),
    (
        "DialBegin",
        CHANNEL | DEST | {"CallerIDNum": "101", "DestCallerIDNum": "89161112233", "DialString": "89161112233@trunk"},
        DialBegin(AT, SELF[1], "101", *TO, "89161112233", "89161112233@trunk"),
    ),
    ("DialBegin", DEST, DialBegin(AT, None, None, *TO, None, "")),
    (
        "DialBegin",
        DEST | {"DestCallerIDNum": "101", "DestConnectedLineNum": "89161112233", "DialString": "101"},
        DialBegin(AT, None, None, *TO, "101", "101", "89161112233"),
    ),
    ("DialEnd", CHANNEL | DEST | {"DialStatus": "ANSWER"}, DialEnd(AT, SELF[1], *TO, "ANSWER", None)),
    ("DialEnd", DEST | {"DialStatus": "CANCEL", "Forward": "102"}, DialEnd(AT, None, *TO, "CANCEL", "102")),
    (
        "BridgeEnter",
        CHANNEL | {"BridgeUniqueid": BRIDGE, "BridgeType": "parking"},
        BridgeEnter(AT, *SELF, BRIDGE, "parking"),
    ),
    ("BridgeLeave", CHANNEL | {"BridgeUniqueid": BRIDGE}, BridgeLeave(AT, *SELF, BRIDGE)),
    ("Hold", CHANNEL | {"MusicClass": "default"}, Hold(AT, *SELF)),
    ("Unhold", CHANNEL, Unhold(AT, *SELF)),
    ("HangupRequest", CHANNEL | {"Cause": "16"}, HangupRequest(AT, *SELF, 16)),
    ("HangupRequest", CHANNEL, HangupRequest(AT, *SELF, None)),
    ("Hangup", CHANNEL | {"Cause": "127"}, Hangup(AT, *SELF, 127)),
    ("Hangup", CHANNEL | {"Cause": ""}, Hangup(AT, *SELF, 0)),
    (
        "VarSet",
        CHANNEL | {"Variable": "MIXMONITOR_FILENAME", "Value": "/var/spool/asterisk/monitor/a.wav"},
        VarSet(AT, *SELF, "MIXMONITOR_FILENAME", "/var/spool/asterisk/monitor/a.wav"),
    ),
    (
        "VarSet",
        CHANNEL | {"Variable": "MIXMONITOR_FILENAME", "Value": r"/rec/O\'Brien\?.wav"},
        VarSet(AT, *SELF, "MIXMONITOR_FILENAME", "/rec/O'Brien?.wav"),
    ),
    (
        "VarSet",
        CHANNEL | {"Variable": "MIXMONITOR_FILENAME", "Value": ""},
        VarSet(AT, *SELF, "MIXMONITOR_FILENAME", ""),
    ),
    ("QueueCallerJoin", CHANNEL | {"Queue": "sales"}, QueueCallerJoin(AT, *SELF, "sales")),
    ("QueueCallerLeave", CHANNEL | {"Queue": "sales"}, QueueCallerLeave(AT, *SELF, "sales")),
    ("QueueCallerAbandon", CHANNEL | {"Queue": "sales"}, QueueCallerAbandon(AT, *SELF, "sales")),
    (
        "OriginateResponse",
        {"ActionID": "a/1", "Response": "Success", "Channel": "PJSIP/101-0000000a", "Exten": "89161112233"}
        | {"Reason": "4", "Uniqueid": "1795491044.7", "CallerIDNum": "89161112233"},
        OriginateResponse(AT, "a/1", True, "PJSIP/101-0000000a", SELF[1], "89161112233", "89161112233", 4),
    ),
    (
        "OriginateResponse",
        {"ActionID": "a/1", "Response": "Failure", "Channel": "PJSIP/101", "Uniqueid": "<unknown>"},
        OriginateResponse(AT, "a/1", False, "PJSIP/101", None, "", None),
    ),
    (
        "VarSet",
        CHANNEL | {"Variable": "__AMIBRIDGE_CLICK", "Value": "click-1"},
        VarSet(AT, *SELF, "AMIBRIDGE_CLICK", "click-1"),
    ),
    (
        "BlindTransfer",
        {"Result": "Success", "TransfererUniqueid": SELF[1], "TransfereeUniqueid": TO[1], "Extension": "102"},
        BlindTransfer(AT, SELF[1], "102"),
    ),
    (
        "AttendedTransfer",
        {"Result": "Success", "OrigTransfererUniqueid": SELF[1], "SecondTransfererUniqueid": TO[1]}
        | {"SecondTransfererConnectedLineNum": "102"},
        AttendedTransfer(AT, SELF[1], TO[1], "102"),
    ),
    ("Pickup", CHANNEL | {"TargetUniqueid": TO[1]}, Pickup(AT, *SELF, TO[1])),
    (
        "ParkedCall",
        {"ParkeeUniqueid": SELF[1], "ParkerDialString": "PJSIP/101", "ParkingSpace": "701"}
        | {"Parkinglot": "default", "ParkingTimeout": "45"},
        ParkedCall(AT, SELF[1], "PJSIP/101", "701", "default", timedelta(seconds=45)),
    ),
    (
        "ParkedCall",
        {"ParkeeUniqueid": SELF[1], "ParkerDialString": "PJSIP/101", "ParkingSpace": "701", "Parkinglot": "default"}
        | {"ParkingTimeout": "40", "ParkingDuration": "5", "ActionID": "7"},
        ParkedCall(AT - timedelta(seconds=5), SELF[1], "PJSIP/101", "701", "default", timedelta(seconds=45)),
    ),
    (
        "ParkedCall",
        {"ParkeeUniqueid": SELF[1], "ParkingSpace": "701", "ParkingTimeout": "-5", "ParkingDuration": "5"},
        ParkedCall(AT - timedelta(seconds=5), SELF[1], "", "701"),
    ),
    ("FullyBooted", {"Status": "Fully Booted"}, FullyBooted(AT)),
    ("Shutdown", {"Shutdown": "Uncleanly", "Restart": "False"}, Shutdown(AT)),
    (
        "CoreShowChannel",
        CHANNEL
        | {"ChannelState": "6", "CallerIDNum": "101", "CallerIDName": "", "ConnectedLineNum": "79161234567"}
        | {"Context": "from-internal", "Exten": "s", "Application": "AppDial", "Duration": "12:00:07"}
        | {"BridgeId": BRIDGE, "ActionID": "7"},
        CoreShowChannel(
            *SELF, ChannelState.UP, "101", None, "79161234567", "from-internal", "s", BRIDGE, "AppDial",
            timedelta(hours=12, seconds=7), "7",
        ),
    ),
    ("CoreShowChannelsComplete", {"ActionID": "7", "ListItems": "1"}, CoreShowChannelsComplete("7")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "headers", "event"), READ)
def test_reading(name: str, headers: dict[str, str], event: Parsed) -> None:
    assert parse_event(wire(name, headers), ARRIVED) == event


@pytest.mark.parametrize("name", ["BlindTransfer", "AttendedTransfer"])
def test_a_transfer_that_failed_is_none(name: str) -> None:
    ids = {"TransfererUniqueid": SELF[1], "OrigTransfererUniqueid": SELF[1], "SecondTransfererUniqueid": TO[1]}
    assert parse_event(wire(name, {"Result": "Not Permitted"} | ids), ARRIVED) is None


def test_every_event_that_is_folded_is_read_above() -> None:
    assert {name.encode() for name, _, _ in READ} == set(READERS)


@pytest.mark.parametrize("name", ["FullyBooted", "Shutdown"])
def test_without_a_timestamp_the_arrival_counts(name: str) -> None:
    event = parse_event(wire(name, {}, stamped=False), ARRIVED)
    assert isinstance(event, Event)
    assert event.at == ARRIVED


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Cdr", CHANNEL),
        ("RTCPSent", CHANNEL),
        ("HangupRequested", CHANNEL),
        ("hangup", CHANNEL),
        ("", {}),
        ("VarSet", CHANNEL | {"Variable": "SIPDOMAIN", "Value": "x"}),
        ("VarSet", CHANNEL | {"Variable": "SIPDOMAIN", "Value": "Variable: MIXMONITOR_FILENAME"}),
        ("VarSet", CHANNEL | {"Variable": "MIXMONITOR_FILENAME_OLD", "Value": "x"}),
    ],
)
def test_what_nobody_folds_is_nothing(name: str, headers: dict[str, str]) -> None:
    assert parse_event(wire(name, headers), ARRIVED) is None


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("Hangup", {"Cause": "16"}),
        ("Hangup", CHANNEL | {"Cause": "sixteen"}),
        ("Newstate", CHANNEL),
        ("Newstate", CHANNEL | {"ChannelState": "Up"}),
        ("Newstate", CHANNEL | {"ChannelState": "-1"}),
        ("Newstate", CHANNEL | {"ChannelState": "9" * 5000}),
        ("DialEnd", DEST),
        ("BridgeEnter", CHANNEL),
        ("CoreShowChannel", CHANNEL | {"ChannelState": "6", "Duration": "1:2"}),
    ],
)
def test_a_message_that_lacks_its_substance_is_named(name: str, headers: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage, match=name):
        parse_event(wire(name, headers), ARRIVED)


@pytest.mark.parametrize("stamp", ["noon", "inf", "nan", "-62135596800", "253402300799", "1e99", ""])
def test_a_time_that_no_clock_shows_is_that_of_arrival(stamp: str) -> None:
    raw = wire("Hangup", {"Timestamp": stamp} | CHANNEL, stamped=False)
    assert parse_event(raw, ARRIVED) == Hangup(ARRIVED, *SELF, 0)


def test_a_channel_older_than_any_call_is_as_old_as_calls_get() -> None:
    shown = parse_event(
        wire("CoreShowChannel", CHANNEL | {"ChannelState": "6", "Duration": "9" * 30 + ":00:00"}), ARRIVED
    )
    assert isinstance(shown, CoreShowChannel)
    assert ARRIVED - shown.age > datetime(2000, 1, 1, tzinfo=UTC)


@given(
    st.sampled_from(sorted(READERS)),
    st.dictionaries(
        st.sampled_from(["Channel", "Uniqueid", "Linkedid", "ChannelState", "Cause", "Timestamp", "Duration"]),
        st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12),
    ),
)
def test_no_message_breaks_the_reader(name: bytes, headers: dict[str, str]) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_event(wire(name.decode(), headers, stamped=False), ARRIVED)


@pytest.mark.parametrize(
    ("value", "meant"), [(None, None), ("", None), ("<unknown>", None), ("<Unknown>", "<Unknown>"), ("101", "101")]
)
def test_known(value: str | None, meant: str | None) -> None:
    assert known(value) == meant


@pytest.mark.slow
def test_every_event_of_every_trace_that_is_folded_can_be_read() -> None:
    read = 0
    for trace in TRACES:
        for raw in Framer().feed(read_bytes(trace.path)):
            if raw.startswith(b"Event: "):
                event = parse_event(raw, ARRIVED)
                read += event is not None
                assert not isinstance(event, Event) or event.at.tzinfo is UTC
    assert read > 10_000


class TestSifting:
    """What is passed over unread is exactly what would have been read in vain."""

    @staticmethod
    def wanted(block: bytes) -> list[bytes]:
        return [raw for raw in split(block) if raw and not (raw.startswith(b"Event: ") and reader_of(raw) is None)]

    @staticmethod
    def sifted(block: bytes) -> list[bytes]:
        return [raw for raw in sift(block) if raw and not (raw.startswith(b"Event: ") and reader_of(raw) is None)]

    @pytest.mark.slow
    @pytest.mark.parametrize("trace", TRACES, ids=str)
    def test_of_every_trace(self, trace: Trace) -> None:
        raw = read_bytes(trace.path)
        for size in (len(raw), 64 * 1024, 1460):
            framer = Framer()
            for start in range(0, len(raw), size):
                block = framer.block(raw[start : start + size])
                assert self.sifted(block) == self.wanted(block)

    @given(
        st.lists(
            st.sampled_from(
                [b"Event: Hangup", b"Event: HangupRequest", b"Event: Hang", b"Event: CEL", b"Event: ", b"Event:Hangup",
                 b"Event: VarSet\r\nVariable: MIXMONITOR_FILENAME\r\nValue: a", b"Event: VarSet\r\nVariable: X",
                 b"Event: VarSet\r\nVariable: X\r\nValue: MIXMONITOR_FILENAME", b"Event: VarSet", b"event: Hangup",
                 b"Event: VarSet\r\nVariable: __AMIBRIDGE_CLICK\r\nValue: a", b"Response: Success", b"", b"\r", b"\n",
                 b"Event: CEL\r\nValue: Event: Hangup", b"Event: CEL\n\nEvent: Hangup", b"\r\nEvent: Hangup",
                 b"\r\nEvent: CEL", b"Event: Hangup\r", b"\x00"]
            )
        )
    )  # fmt: skip
    def test_of_any_stream(self, messages: list[bytes]) -> None:
        block = Framer().block(b"".join(message + b"\r\n\r\n" for message in messages))
        assert self.sifted(block) == self.wanted(block)

    def test_hardly_anything_in_vain(self) -> None:
        [trace] = [trace for trace in TRACES if str(trace.path).endswith("asterisk22/z3_load_readall.ami.gz")]
        block = Framer().block(read_bytes(trace.path))
        assert len(list(sift(block))) < len(split(block)) / 6
