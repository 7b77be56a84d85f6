"""Bytes to messages: framing, headers, text.

Laws: only whole messages are looked at, so no letter is ever cut in two; a value may be empty and a key may repeat;
text is UTF-8, and a line that is not is read as Windows-1251, the other encoding our PBXs speak; an unfinished
message may not grow without bound.
Source of the format: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

END_OF_MESSAGE = b"\r\n\r\n"

MAX_UNFINISHED = 1024 * 1024
"""Bytes. The longest real message seen is 3 kB; a megabyte without an end is not AMI."""


@dataclass(frozen=True, slots=True)
class Message:
    """One AMI message. *headers* keeps a repeated key's first value; *repeated* has all values of such keys."""

    headers: Mapping[str, str]
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, key: str, default: str = "") -> str:
        return self.headers.get(key, default)


class Framer:
    """Cuts a byte stream into whole messages, without their ending blank line.

    Some events (`Cdr`) end in two blank lines: the second one must not hide the next message's first header.
    """

    __slots__ = ("_tail", "oversized")

    def __init__(self) -> None:
        self._tail = bytearray()
        self.oversized = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Whole messages that *chunk* completes, oldest first. A message over `MAX_UNFINISHED` is dropped, counted."""
        searched = max(0, len(self._tail) - len(END_OF_MESSAGE) + 1)
        self._tail += chunk
        if self._tail.find(END_OF_MESSAGE, searched) < 0:
            if len(self._tail) > MAX_UNFINISHED:
                self.oversized += 1
                self._tail.clear()
            return []
        *messages, tail = bytes(self._tail).split(END_OF_MESSAGE)
        self._tail = bytearray(tail)
        return [message.lstrip(b"\r\n") for message in messages]

    @property
    def unfinished(self) -> int:
        """Bytes waiting for the rest of their message."""
        return len(self._tail)


def read_message(raw: bytes) -> Message:
    """Decode one whole message. Lines without a colon carry nothing and are passed over."""
    try:
        lines = raw.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        lines = [_decode_line(line) for line in raw.split(b"\r\n")]
    try:
        pairs = [line.split(": ", 1) for line in lines]
        headers = dict(reversed(pairs))
    except ValueError:
        pairs = [_split_header(line) for line in lines if ":" in line]
        headers = dict(reversed(pairs))
    if len(headers) == len(pairs):
        return Message(headers)
    return Message(headers, _collect_repeated(pairs, headers))


def _split_header(line: str) -> list[str]:
    key, _, value = line.partition(":")
    return [key, value.removeprefix(" ")]


def _collect_repeated(pairs: list[list[str]], headers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    values: dict[str, list[str]] = {key: [] for key in headers}
    for key, value in pairs:
        values[key].append(value)
    return {key: tuple(found) for key, found in values.items() if len(found) > 1}


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1251", errors="replace")
