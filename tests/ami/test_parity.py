"""Beside stock panoramisk: the same messages, except for the ones it is known to damage."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message as StockMessage

from amibridge.ami.session import GREETING
from amibridge.ami.wire import Framer, Message, read_message
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace


def stock_events(*pieces: bytes) -> list[StockMessage]:
    """What stock panoramisk would dispatch. Given more than one piece, it loses letters between them."""
    messages: list[StockMessage] = []
    stock = AMIProtocol()
    stock.connection_made(None)
    stock.encoding = "utf8"
    stock.handle_message = messages.append
    for piece in pieces:
        stock.data_received(piece)
    return [message for message in messages if "event" in message]


def our_events(raw: bytes) -> Iterator[tuple[bytes, Message]]:
    for message in Framer().feed(raw):
        if message.startswith(b"Event: "):
            yield message, read_message(message)


def as_stock_shows(wire: bytes, message: Message) -> dict[str, object]:
    """Its known ways: keys without case, repeated ones as lists, ``Result`` unquoted, an empty last one dropped."""
    shown: dict[str, object] = {"content": ""}
    for key, value in message.headers.items():
        values = message.repeated.get(key)
        shown[key.lower()] = list(values) if values else unquote(value).strip() if key == "Result" else value
    last, _, value = wire.rpartition(b"\r\n")[2].decode().partition(": ")
    if value == "":
        del shown[last.lower()]
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_the_same_events_with_the_same_headers(trace: Trace) -> None:
    raw = read_bytes(trace.path)
    ours, stock = list(our_events(raw)), stock_events(raw)
    assert len(ours) == len(stock) > 10
    for (wire, message), other in zip(ours, stock, strict=True):
        if GREETING.search(wire) is None:
            assert {key.lower(): value for key, value in other.items()} == as_stock_shows(wire, message)


class TestItsDefects:
    """Each of them is shown on the stock class first, so that the test says when panoramisk has mended it."""

    def test_a_letter_cut_in_two_vanishes_there(self) -> None:
        raw = "Event: Hangup\r\nCallerIDName: Ивановский\r\nCause: 16\r\n\r\n".encode()
        place = raw.index("н".encode()) + 1
        assert stock_events(raw[:place], raw[place:])[0].calleridname == "Иваовский"
        framer = Framer()
        [message] = framer.feed(raw[:place]) + framer.feed(raw[place:])
        assert read_message(message).get("CallerIDName") == "Ивановский"

    def test_bytes_of_another_encoding_vanish_there(self) -> None:
        raw = b"Event: Hangup\r\nCallerIDName: " + "Жанна".encode("cp1251") + b"\r\nCause: 16\r\n\r\n"
        assert stock_events(raw)[0].calleridname == ""
        [(_, message)] = our_events(raw)
        assert message.get("CallerIDName") == "Жанна"

    def test_an_empty_last_value_vanishes_there(self) -> None:
        raw = b"Event: VarSet\r\nVariable: X\r\nValue: \r\n\r\n"
        assert "Value" not in stock_events(raw)[0]
        [(_, message)] = our_events(raw)
        assert message.headers == {"Event": "VarSet", "Variable": "X", "Value": ""}

    def test_a_key_without_a_space_vanishes_there(self) -> None:
        raw = b"Event: VarSet\r\nValue:x\r\nVariable: X\r\n\r\n"
        assert "Value" not in stock_events(raw)[0]
        [(_, message)] = our_events(raw)
        assert message.get("Value") == "x"
