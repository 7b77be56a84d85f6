"""Other numbers and names in place of the real ones, so that a trace can be shown to somebody.

Laws: the same number, however it is spelt, has the same other number, of the same length, country and code, and as
valid as it was; extensions, ids and times stay, so that a replay tells the same story. What looks like a telephone
number is replaced wherever it stands; a name where a name stands, and in free text near it.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum
from functools import lru_cache
from hashlib import blake2b

from amibridge.ami.transcript import split_greeting
from amibridge.calls.numbering import Numbering
from amibridge.calls.phones import shown, to_e164

SHORTEST = 7
"""Digits of a run that is a telephone number wherever it stands; where numbers stand, `SHORTEST_ALONE` are enough."""
SHORTEST_ALONE = 6

REMEMBERED = 64
"""Names and spellings that were seen last: what is said of a caller in free text follows his caller ID closely."""


class _Kind(Enum):
    """What stands in a header."""

    KEPT = r".*(?:[Uu]nique[Ii][Dd]|[Ll]inked[Ii][Dd]|TV|Time|State|StateDesc)|Event|Privilege|Timestamp|Response" + (
        r"|(?:Bridge|Duration|Sent|Last[CPR]|Cause)\w*|Uptime|SSRC|Priority|Variable|SequenceNumber"
    )
    NUMBER = r".*(?:CallerIDNum|ConnectedLineNum|Exten|Extension)|CallerID(?:num|ani|rdnis|dnid)" + (
        r"|Source|Destination|CID|Forward"
    )
    NAME = r".*(?:CallerIDName|ConnectedLineName)|CallerIDname|MemberName"
    BOTH = r"CallerID|Callerid|Clid"
    STRUCTURE = r".*(?:Channel|Context|Interface|Language|App)|Queue|Application|Peer"
    TEXT = r"(?s:.*)"


@lru_cache(maxsize=4096)
def _kind_of(name: str) -> _Kind:
    return next(kind for kind in _Kind if re.fullmatch(kind.value, name))


_NUMBER_VARIABLE = re.compile(r"_*CALLERID\((?:num|ani|dnid|rdnis|num-.*)\)|_*(?:FROM_)?DID|_*CALLERID(?:NUM|NO)?")
_NAME_VARIABLE = re.compile(r"_*CALLERID\(name\)|_*CALLERIDNAME|_*CIDNAME")

_BOTH = re.compile(r'^"?(?P<name>.*?)"? ?<(?P<number>[^<>]*)>$')
_RUN = re.compile(
    r"(?P<kept>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|(?<!\d)(?:1[5-9]|2[0-2])\d{8}\.\d+"  # a Uniqueid
    r"|(?<!\d)(?:19|20)\d{6}[-_]\d{6}(?!\d)"  # a date and a time in the name of a file
    r"|\bC-[0-9a-f]{8}\b"  # Asterisk's own id of a call, in its log
    r"|(?<![\d.])\d{1,5}\.\d{6}(?!\d))"  # a measurement
    r"|(?P<channel>\b[A-Z][A-Za-z0-9]+/[^\s,&|\"()/]*?)(?P<serial>-[0-9a-f]{8}(?![0-9A-Za-z]))"
    rf"|(?P<number>\+?\d{{{SHORTEST},}})"
)
_SPELT = re.compile(r"\+?\d(?:[\d() .\-]*\d)?")


class Mask:
    """Masks the messages of one trace. *key* decides which other numbers there are; with a secret one, nobody can
    find out the real ones by trying."""

    def __init__(self, numbering: Numbering, key: bytes) -> None:
        self._numbering = numbering
        self._key = key
        self._fakes: dict[str, str] = {}
        self._tails: dict[str, str] = {}
        self._taken: set[str] = set()
        self._names: dict[str, str] = {}
        self._recent: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)

    def message(self, raw: bytes) -> bytes:
        """A whole message, without its end."""
        greeting, rest = split_greeting(raw)
        lines = [_header(line) for line in rest.split(b"\r\n")]
        variable = next((value for name, value in lines if name == "Variable"), "")
        masked = [(name, self._identity(name, value, variable)) for name, value in lines]
        near = {real: other for real, other in self._recent if any(real in value for _, value in lines)}
        whole = [
            f"{name}: {self._elsewhere(name, value, near) if other is None else other}" if name else value
            for (name, value), (_, other) in zip(lines, masked, strict=True)
        ]
        return greeting + "\r\n".join(whole).encode()

    def text(self, text: str) -> str:
        """*text* with every telephone number in it replaced."""
        return _RUN.sub(self._replace_run, text)

    def number(self, text: str) -> str:
        """A number as a person may spell it, or whatever else stands where numbers stand."""
        if shown(text) is None or self._numbering.is_internal(text):
            return text
        masked = _SPELT.sub(self._replace_spelt, text)
        if masked != text and not text.removeprefix("+").isdigit():
            self._remember(text, masked)
        return masked

    def name(self, text: str) -> str:
        if shown(text) is None or self._numbering.is_internal(text):
            return text
        if not any(char.isalpha() for char in text):
            return self.number(text)
        other = self._names.setdefault(text, f"Name {len(self._names) + 1}")
        self._remember(text, other)
        return other

    def _identity(self, name: str, value: str, variable: str) -> str | None:
        """What stands for *value*, if its header, or its variable, says that it is a number or a name."""
        kind = _kind_of(name)
        if name == "Value" and _NUMBER_VARIABLE.fullmatch(variable):
            kind = _Kind.NUMBER
        elif name == "Value" and _NAME_VARIABLE.fullmatch(variable):
            kind = _Kind.NAME
        if kind is _Kind.NUMBER:
            return self.number(value)
        if kind is _Kind.NAME and "/" not in value:  # the name of a queue's member is often that of his channel
            return self.name(value)
        if kind is _Kind.BOTH:
            both = _BOTH.match(value)
            if both is None:
                return self.number(value)
            return f'"{self.name(both["name"])}" <{self.number(both["number"])}>'
        return None

    def _elsewhere(self, name: str, value: str, near: dict[str, str]) -> str:
        kind = _kind_of(name)
        if kind is _Kind.KEPT:
            return value
        if kind is not _Kind.STRUCTURE:
            for real, other in near.items():
                value = re.sub(rf"(?<!\w){re.escape(real)}(?!\w)", other, value)
        return self.text(value)

    def _remember(self, real: str, other: str) -> None:
        if len(real) > 2 and (real, other) not in self._recent:
            self._recent.append((real, other))

    def _replace_run(self, run: re.Match[str]) -> str:
        if run["kept"]:
            return run[0]
        if run["serial"]:
            return self.text(run["channel"]) + run["serial"]
        return run[0] if self._numbering.is_internal(run[0]) else self._other(run[0])

    def _replace_spelt(self, spelt: re.Match[str]) -> str:
        digits = sum(char.isdigit() for char in spelt[0])
        is_address = re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", spelt[0]) is not None
        if digits < SHORTEST_ALONE or is_address or self._numbering.is_internal(spelt[0]):
            return spelt[0]
        return self._other(spelt[0])

    def _other(self, spelt: str) -> str:
        """*spelt* with other digits at its end, as many as its number changes."""
        digits = "".join(char for char in spelt if char.isdigit())
        canonical = to_e164(spelt, self._numbering.region)
        tail = self._fake(canonical) if canonical is not None else self._fake_tail(digits)
        ahead = iter(digits[: len(digits) - len(tail)] + tail)
        return "".join(next(ahead) if char.isdigit() else char for char in spelt)

    def _fake(self, canonical: str) -> str:
        """The last digits of the number that stands for *canonical* (E.164)."""
        known = self._fakes.get(canonical)
        if known is not None:
            return known
        self._taken.add(canonical)
        for attempt in range(100):
            size = min(SHORTEST, len(canonical) - 5) if attempt < 50 else 4
            tail = self._tails.get(canonical[-SHORTEST:]) if attempt == 0 else None
            tail = (tail or self._digits(canonical[-SHORTEST:], attempt))[-size:]
            other = canonical[: len(canonical) - size] + tail
            if other not in self._taken and to_e164(other, self._numbering.region) == other:
                break
        else:
            size = min(SHORTEST, len(canonical) - 5)
            tail = self._digits(canonical[-SHORTEST:], 0)[-size:]
            other = canonical[: len(canonical) - size] + tail
        self._taken.add(other)
        self._fakes[canonical] = tail
        self._tails.setdefault(canonical[-SHORTEST:], tail)
        return tail

    def _fake_tail(self, digits: str) -> str:
        """The last digits of what is no whole number of any country: the same as those of one that ends alike."""
        real = digits[-SHORTEST:]
        known = self._tails.get(real)
        if known is None:
            tails = (self._digits(real, attempt)[-len(real) :] for attempt in range(100))
            known = self._tails[real] = next((tail for tail in tails if tail != real), real)
        return known

    def _digits(self, real: str, attempt: int) -> str:
        drawn = blake2b(f"{real}:{attempt}".encode(), key=self._key, digest_size=8).digest()
        return f"{int.from_bytes(drawn, 'big') % 10**SHORTEST:0{SHORTEST}}"


def _header(line: bytes) -> tuple[str, str]:
    """Name and value; what is no header is a value without a name."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("cp1251", errors="replace")
    name, colon, value = text.partition(":")
    return (name, value.removeprefix(" ")) if colon else ("", text)
