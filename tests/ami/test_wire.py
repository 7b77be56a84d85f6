"""Bytes to messages: whatever TCP does to them, and whatever a PBX writes into them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami.wire import MAX_UNFINISHED, Framer, Headers, read_message, split
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

SMALLEST = sorted((trace for trace in TRACES if trace.path.suffix == ".ami"), key=lambda t: t.path.stat().st_size)[:4]


def framed(pieces: Iterable[bytes]) -> list[bytes]:
    framer = Framer()
    return [message for piece in pieces for message in framer.feed(piece)]


@pytest.mark.slow
@pytest.mark.parametrize("trace", SMALLEST, ids=str)
def test_a_cut_at_any_byte_changes_nothing(trace: Trace) -> None:
    raw = read_bytes(trace.path)
    whole = framed([raw])
    assert len(whole) > 20
    for place in range(1, len(raw)):
        assert framed([raw[:place], raw[place:]]) == whole, place


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\r" not in b and b"\n" not in b and b != b""), max_size=30))
def test_messages_come_out_as_they_went_in(messages: list[bytes]) -> None:
    raw = b"".join(message + b"\r\n\r\n" for message in messages)
    assert framed(bytes([byte]) for byte in raw) == messages


def test_the_second_blank_line_after_an_event_belongs_to_nobody() -> None:
    """Asterisk ends `Cdr` with two."""
    raw = b"Event: Cdr\r\nDuration: 5\r\n\r\n\r\nEvent: Hangup\r\nCause: 16\r\n\r\n"
    whole = [b"Event: Cdr\r\nDuration: 5", b"Event: Hangup\r\nCause: 16"]
    for place in range(len(raw) + 1):
        assert framed([raw[:place], raw[place:]]) == whole


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"E", b"Event: A", b": "]), max_size=40))
def test_pieces_of_any_kind_give_what_the_whole_gives(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    texts = [message for message in framed(pieces) if message]
    assert texts == [message for message in framed([raw]) if message]
    framer = Framer()
    assert [message for piece in pieces for message in split(framer.block(piece)) if message] == texts


def test_what_has_no_end_waits_for_it() -> None:
    framer = Framer()
    assert framer.feed(b"Event: Hangup\r\nCause: 1") == []
    assert framer.unfinished == 23
    assert framer.feed(b"6\r\n\r") == []
    assert framer.feed(b"\n") == [b"Event: Hangup\r\nCause: 16"]
    assert framer.unfinished == 0


def test_what_never_ends_does_not_fill_the_memory() -> None:
    framer = Framer()
    piece = b"x" * 65536
    most = 0
    for _ in range(3 * MAX_UNFINISHED // len(piece)):
        assert framer.feed(piece) == []
        most = max(most, framer.unfinished)
    assert framer.oversized == 2
    assert most <= MAX_UNFINISHED


def test_a_long_message_that_ends_is_kept() -> None:
    long = b"Event: VarSet\r\nValue: " + b"v" * (MAX_UNFINISHED - 100)
    assert framed([long[:500_000], long[500_000:], b"\r\n\r\n"]) == [long]


def test_a_line_feed_alone_ends_nothing() -> None:
    assert framed([b"Event: A\n\nEvent: B\n\n"]) == []


HEADERS: list[tuple[bytes, dict[str, str]]] = [
    (b"Event: Hangup\r\nCause: 16", {"Event": "Hangup", "Cause": "16"}),
    (b"Event: VarSet\r\nValue: ", {"Event": "VarSet", "Value": ""}),
    (b"Event: VarSet\r\nValue:", {"Event": "VarSet", "Value": ""}),
    (b"Event:VarSet\r\nValue:x", {"Event": "VarSet", "Value": "x"}),
    (b"Value: a: b: c", {"Value": "a: b: c"}),
    (b"Value:  two spaces ", {"Value": " two spaces "}),
    (b"CallerIDName: x\r\nno header at all\r\nCause: 16", {"CallerIDName": "x", "Cause": "16"}),
    (b"CallerIDName: \xd0\x96\xd0\xb0\xd0\xbd\xd0\xbd\xd0\xb0", {"CallerIDName": "Жанна"}),
    (b"Value: a\x00b", {"Value": "a\x00b"}),
    (b"Value: a\nb", {"Value": "a\nb"}),
    (b": nameless", {"": "nameless"}),
    (b"", {}),
]


@pytest.mark.parametrize(("raw", "headers"), HEADERS)
def test_headers(raw: bytes, headers: dict[str, str]) -> None:
    message = read_message(raw)
    assert message.headers == headers
    assert message.repeated == {}
    assert message.get("Missing") == ""
    assert message.get("Missing", "none") == "none"


@pytest.mark.parametrize(("raw", "headers"), HEADERS)
def test_headers_looked_for_one_by_one_are_the_same(raw: bytes, headers: dict[str, str]) -> None:
    found = Headers(b"Event: Any\r\n" + raw)
    for key in ("Event", "Cause", "Value", "CallerIDName", "no header at all", ""):
        assert found.get(key) == headers.get(key)
    with pytest.raises(KeyError, match="Missing"):
        found["Missing"]


def test_of_a_repeated_key_the_first_is_found() -> None:
    assert Headers(b"Event: Hangup\r\nUniqueid: 1.1\r\nUniqueid: 9.9")["Uniqueid"] == "1.1"


def test_a_repeated_key_keeps_all_its_values() -> None:
    message = read_message(b"Response: Success\r\nOutput: one\r\nOutput: two\r\nOutput: \r\nMessage: done")
    assert message.headers == {"Response": "Success", "Output": "one", "Message": "done"}
    assert message.repeated == {"Output": ("one", "two", "")}


def test_a_key_repeated_later_does_not_overrule_the_first() -> None:
    """What is appended after a genuine header cannot take its place."""
    assert read_message(b"Event: Hangup\r\nUniqueid: 1.1\r\nUniqueid: 9.9").get("Uniqueid") == "1.1"


def test_windows_1251_is_read_line_by_line() -> None:
    """A PBX with an old phone book sends UTF-8 and Windows-1251 in one message."""
    raw = b"CallerIDName: " + "Жанна Ёлкина".encode("cp1251") + "\r\nConnectedLineName: Борис Иванов".encode()
    assert read_message(raw).headers == {"CallerIDName": "Жанна Ёлкина", "ConnectedLineName": "Борис Иванов"}


def test_a_byte_that_no_encoding_knows_costs_one_letter() -> None:
    assert read_message(b"CallerIDName: A\x98B\r\nCause: 16").headers == {"CallerIDName": "A\ufffdB", "Cause": "16"}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    message = read_message(raw)
    assert all(isinstance(value, str) for value in message.headers.values())


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters=":\r\n", codec="utf-8"), min_size=1, max_size=10),
        st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20),
        max_size=8,
    )
)
def test_what_asterisk_writes_is_what_we_read(headers: dict[str, str]) -> None:
    raw = "\r\n".join(f"{key}: {value}" for key, value in headers.items()).encode()
    assert read_message(raw).headers == headers
