"""What is kept of a conversation with Asterisk: whole messages, each with a time, none with a secret.

Laws: only what Asterisk said is in it; a message without a time of its own is given the one at which it arrived; what
may be a secret is stars; a message that a lost connection broke off is left out. Of Pongs in a row, the sign of life
of a host where nothing happens, only the last is kept, and only when something follows: it tells the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from amibridge.ami.session import GREETING
from amibridge.ami.wire import END_OF_MESSAGE, Framer

BANNER = b"Asterisk Call Manager/"

HIDDEN = b"******"

_NAMES = rb"secret|(?<!using)passw|pwd|token|api[-_]?key|credential|authori[sz]ation|cookie|private[-_]?key"
_SECRET_NAME = re.compile(rb"(?i)%s|challenge|received-?hash|expected-?response|session-?id" % _NAMES)
_SECRET_ASSIGNED = re.compile(rb"(?i)([\w-]*(?:%s)[\w-]*[)\"']?\s?=\s?[\"']?)[^\s\"'&,;|)]+" % _NAMES)
_PASSWORD_IN_URI = re.compile(rb"(?i)((?:sips?:|://)[^\s:/@;]*:)[^\s/@]+(?=@)")
_ASKS_FOR_A_PIN = re.compile(rb"\r\nApplication: (?:VM)?Authenticate\r\n")
_SUSPECT = (
    b"secret", b"passw", b"pwd", b"token", b"apikey", b"api_key", b"api-key", b"credential", b"authori", b"cookie",
    b"private", b"challenge", b"sessionid", b"session-id", b"authenticate", b"privilege: security", b"sip:", b"sips:",
    b"://",
)  # fmt: skip
"""One of these is in whatever the expressions above find. Nineteen looks cost a tenth of one alternation."""


class Transcript:
    """Received chunks into messages that may be kept. Begins wherever the bytes begin."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._pong = b""
        self._begun = False

    def take(self, chunk: bytes, arrived: float) -> list[bytes]:
        """The messages that *chunk* completes, without their ends. *arrived*: seconds since 1970 by our clock."""
        kept: list[bytes] = []
        for raw in self._framer.feed(chunk):
            greeting, rest = split_greeting(raw)
            is_fragment = not self._begun and not greeting and not rest.startswith((b"Event: ", b"Response: "))
            self._begun = True
            if is_fragment:
                continue
            if not greeting and rest.startswith(b"Response: ") and b"\r\nPing: Pong" in rest:
                self._pong = rest
                continue
            if self._pong:
                kept.append(self._pong)
                self._pong = b""
            kept.append(greeting + strip(stamp(rest, arrived)))
        return kept


def ended(messages: Iterable[bytes]) -> bytes:
    """The bytes of a trace with these messages."""
    return b"".join(message + END_OF_MESSAGE for message in messages)


def split_greeting(raw: bytes) -> tuple[bytes, bytes]:
    """The banner that is glued to a message, if one is, and the message; what broke off before a banner is dropped."""
    greeting = GREETING.search(raw) if BANNER in raw else None
    if greeting is None:
        return b"", raw
    return greeting[0], raw[greeting.end() :]


def stamp(raw: bytes, arrived: float) -> bytes:
    """An event of a PBX without ``timestampevents``, with the header that such a setting would have given it."""
    if not raw.startswith(b"Event: ") or b"\r\nTimestamp: " in raw:
        return raw
    first, line_break, rest = raw.partition(b"\r\n")
    return b"%b\r\nTimestamp: %.6f%b%b" % (first, arrived, line_break, rest)


def strip(raw: bytes) -> bytes:
    """*raw* with stars for digests of logins, and for values whose names say that they are secret."""
    lower = raw.lower()
    if not any(mark in lower for mark in _SUSPECT):
        return raw
    of_security = b"\r\nPrivilege: security" in raw
    hides_value, hides_arguments = False, _ASKS_FOR_A_PIN.search(raw) is not None
    lines = raw.split(b"\r\n")
    for at, line in enumerate(lines):
        name, colon, value = line.partition(b":")
        if name == b"Variable":
            hides_value = _SECRET_NAME.search(value) is not None
        if (
            _SECRET_NAME.search(name)
            or (name == b"Value" and hides_value)
            or (name == b"AppData" and hides_arguments)
            or (name == b"Response" and of_security)
        ) and colon:
            lines[at] = name + b": " + HIDDEN
        else:
            lines[at] = _PASSWORD_IN_URI.sub(rb"\1" + HIDDEN, _SECRET_ASSIGNED.sub(rb"\1" + HIDDEN, line))
    return b"\r\n".join(lines)
