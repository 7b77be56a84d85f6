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


class Headers:
    """The headers of one whole message, each looked for when it is asked: an event has thirty, and we read six.

    Of a repeated key the first value counts. The first line, which names the event, is not among them.
    """

    __slots__ = ("_text",)

    def __init__(self, raw: bytes) -> None:
        self._text = _decode(raw + b"\r\n")

    def __getitem__(self, key: str) -> str:
        """Raises KeyError."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: str) -> str | None:
        """The value of *key*, or None."""
        text = self._text
        start = text.find(f"\r\n{key}: ")
        if start < 0:
            return self._unspaced(key)
        start += len(key) + 4
        return text[start : text.find("\r\n", start)]

    def _unspaced(self, key: str) -> str | None:
        _, found, rest = self._text.partition(f"\r\n{key}:")
        return rest.partition("\r\n")[0] if found else None


class Framer:
    """Cuts a byte stream into whole messages.

    Some events (`Cdr`) end in two blank lines: the second one must not hide the next message's first header.
    """

    __slots__ = ("_tail", "oversized")

    def __init__(self) -> None:
        self._tail = bytearray(END_OF_MESSAGE)
        self.oversized = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Whole messages that *chunk* completes, oldest first, without their ending blank line."""
        return split(self.block(chunk))

    def block(self, chunk: bytes) -> bytes:
        """The messages that *chunk* completes in one piece, a blank line before each; empty if it completes none.

        A message over `MAX_UNFINISHED` is dropped, counted.
        """
        tail = self._tail
        if len(tail) == len(END_OF_MESSAGE) and chunk.endswith(END_OF_MESSAGE):
            return END_OF_MESSAGE + chunk[: -len(END_OF_MESSAGE)]
        searched = max(1, len(tail) - len(END_OF_MESSAGE) + 1)
        tail += chunk
        end = tail.rfind(END_OF_MESSAGE, searched)
        if end < 0:
            if self.unfinished > MAX_UNFINISHED:
                self.oversized += 1
                del tail[len(END_OF_MESSAGE) :]
            return b""
        with memoryview(tail) as view:
            block = bytes(view[:end])
        del tail[:end]
        return block

    @property
    def unfinished(self) -> int:
        """Bytes waiting for the rest of their message."""
        return len(self._tail) - len(END_OF_MESSAGE)


def split(block: bytes) -> list[bytes]:
    """The messages of a `Framer.block`, oldest first."""
    return [message.strip(b"\r\n") for message in block.split(END_OF_MESSAGE)[1:]]


def read_message(raw: bytes) -> Message:
    """Decode one whole message. Lines without a colon carry nothing and are passed over."""
    lines = _decode(raw).split("\r\n")
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


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "\r\n".join(_decode_line(line) for line in raw.split(b"\r\n"))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1251", errors="replace")
