"""Which channel is an operator, a line or plumbing: read off its name, its caller ID, its context and what is dialled.

Laws: what the host's settings say outweighs everything; a guess that the name alone does not bear out says why; what
may as well be a line as a phone is called a line in doubt, and the doubt is kept.
Source of the name shapes: Asterisk's channel names are ``Technology/endpoint-serial``; the halves of a Local
channel are ``Local/exten@context-serial;1`` and ``;2``. What PBXs put there: docs/pbx.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from amibridge.calls.phones import to_e164
from amibridge.calls.record import Extension

DEFAULT_INTERNAL = r"^\d{2,5}$"

PLUMBING_TECHNOLOGIES = frozenset(
    {"Local", "Announcer", "AsyncGoto", "AudioSocket", "Bridge", "CBAnn", "CBRec", "ConfBridge", "Message",
     "MulticastRTP", "Recorder", "Snoop", "Surrogate", "UnicastRTP", "WebSocket"}
)  # fmt: skip
"""Channel technologies behind which nobody stands."""

PORT_TECHNOLOGIES = frozenset({"CAPI", "DAHDI", "Dongle", "Khomp", "Mobile", "Quectel", "Zap", "mISDN", "vpb"})
"""Technologies that name a channel by the port of a card or a modem: no digit of it is anybody's extension."""

OUTSIDE = re.compile(
    r"from-(trunk|pstn|did|provider|external|out|sip-external|dahdi|zaptel|digital|analog).*"
    r"|incoming.*|inbound.*|.*-incoming|trk-.*-in",
    re.IGNORECASE,
)
"""Contexts into which PBXs put their lines: FreePBX and Issabel, plain dialplans, MikoPBX, VitalPBX."""

INSIDE = re.compile(
    r"from-(internal|inside|extension|phone).*|internal.*|inoffice.*|phones.*|localsets|all_peers|(T\d+_)?cos-.*",
    re.IGNORECASE,
)
"""Contexts into which they put their phones."""


class Role(StrEnum):
    """What a channel is to the enterprise; who is *the* customer of a call is decided by the call."""

    TRUNK = "trunk"
    OPERATOR = "operator"
    PLUMBING = "plumbing"


@dataclass(frozen=True, slots=True)
class Part:
    """The part that a channel plays: its *role*, and an operator's *extension*.

    *why*: how we know, where its name alone does not tell. *perhaps*: whose phone this line would be, if it were a
    phone. *doubt*: why it may well be one, so that a call it places has no direction.
    """

    role: Role
    extension: Extension | None = None
    why: str | None = None
    perhaps: Extension | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Numbering:
    """How one host names its people and its lines.

    *internal*: regular expression that a whole extension matches; where phones are named after extensions, its group
    ``extension`` is the part that is one. *trunks*: shell patterns of ``Technology/endpoint`` that are lines to the
    outside; none means that they are told from phones by what can be seen. *region*: ISO country in which a bare
    national number is read.
    """

    internal: str = DEFAULT_INTERNAL
    trunks: tuple[str, ...] = ()
    region: str = "RU"
    _internal: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_internal", re.compile(self.internal, re.ASCII))

    def is_internal(self, number: str | None) -> bool:
        return self.extension_in(number) is not None

    def extension_in(self, text: str | None) -> Extension | None:
        """The extension that *text*, a whole number or endpoint name, stands for."""
        match = None if text is None else self._internal.fullmatch(text)
        if match is None:
            return None
        return Extension(match.groupdict().get("extension") or match[0])

    def is_public(self, number: str | None) -> bool:
        return to_e164(number, self.region) is not None

    def part_of(self, channel: str, caller_id_num: str | None, context: str = "") -> Part:
        """The part of *channel* as it begins, in the *context* that its endpoint is configured with.

        Where a channel is later, as a snapshot shows it, says nothing of its endpoint: pass no context there.
        """
        technology, name = _endpoint(channel)
        if technology in PLUMBING_TECHNOLOGIES:
            return Part(Role.PLUMBING)
        endpoint = f"{technology}/{name}"
        if any(fnmatchcase(endpoint, pattern) for pattern in self.trunks):
            return Part(Role.TRUNK)
        outside = OUTSIDE.fullmatch(context) is not None
        extension = None if technology in PORT_TECHNOLOGIES else self.extension_in(name)
        if extension is not None and (self.trunks or not outside):
            return Part(Role.OPERATOR, extension)
        if extension is not None:
            return Part(Role.TRUNK, why=f"{endpoint} is a line: its context is {context}")
        no_extension = self.internal != DEFAULT_INTERNAL and _DIGITS.fullmatch(name)
        if outside or no_extension or _GUEST.fullmatch(name):
            return Part(Role.TRUNK)
        return self._part_of_named(technology, name, caller_id_num, context)

    def part_when_dialled(self, channel: str, part: Part, dial_string: str) -> Part:
        """What *dial_string* adds to *part*: a line is dialled with a number, a phone by its name alone."""
        technology, name = _endpoint(channel)
        number = dialled_number(dial_string)
        if part.role is Role.TRUNK and part.perhaps is not None:
            target = dial_string.removeprefix(f"{technology}/")
            contact = target.startswith(f"{name}/sip") and number in (None, name, part.perhaps)
            if target == name or contact:
                why = f"{technology}/{name} is the phone of {part.perhaps}: no number is dialled through it"
                return Part(Role.OPERATOR, part.perhaps, why)
            if part.doubt is not None and (colleague := self.extension_in(number)) is not None:
                why = f"{technology}/{name} leads to {colleague}: it stands where phones stand"
                return Part(Role.OPERATOR, colleague, why)
            return Part(Role.TRUNK)
        through = number != name and self.is_public(number) and "sip:" not in dial_string
        said_to_be_a_phone = self.trunks and self.extension_in(name) is not None
        if part.role is Role.OPERATOR and through and not said_to_be_a_phone:
            return Part(Role.TRUNK, why=f"{technology}/{name} is a line: {number} is dialled through it")
        return part

    def part_when_it_speaks(self, channel: str, part: Part, caller_id_num: str | None) -> Part:
        """What a calling phone's later caller ID adds: FreePBX names the second phone of 101 ``99101``, and its
        dialplan lets it speak as 101."""
        _, name = _endpoint(channel)
        speaks_as = self.extension_in(caller_id_num)
        if part.role is not Role.OPERATOR or speaks_as is None or part.extension != name or len(speaks_as) < 3:
            return part
        if len(name) - len(speaks_as) < 2 or not name.endswith(speaks_as):
            return part
        return Part(Role.OPERATOR, speaks_as, f"{name} is a phone of {speaks_as}: it speaks as {speaks_as}")

    def _part_of_named(self, technology: str, name: str, caller_id_num: str | None, context: str) -> Part:
        """Of an endpoint that is not named like an extension and stands in no context for lines."""
        endpoint = f"{technology}/{name}"
        a_port = technology in PORT_TECHNOLOGIES
        inside = INSIDE.fullmatch(context) is not None
        speaks_as = self.extension_in(caller_id_num)
        speaks_as_itself = caller_id_num == name and not self.is_public(name)
        if speaks_as is not None:
            whose, own_words = speaks_as, "its caller ID"
            phone = inside or self.trunks or (not a_port and speaks_as in _DIGITS.findall(name))
        else:
            whose, own_words = Extension(endpoint) if a_port else self._named_after(name), "its name"
            a_number = _DIGITS.fullmatch(name) is not None
            phone = (inside and speaks_as_itself and a_number) or (self.trunks and (inside or speaks_as_itself))
        if phone:
            by = f"context {context}" if inside else "`trunks`" if self.trunks else "its name"
            return Part(Role.OPERATOR, whose, f"{endpoint} is the phone of {whose}: by {own_words} and {by}")
        doubt = None
        if inside or speaks_as is not None or speaks_as_itself:
            where = f" from context {context}" if context else ""
            doubt = f"{endpoint} calls as {caller_id_num or 'nobody'}{where}: is it a line, or a phone?"
        return Part(Role.TRUNK, perhaps=whose, doubt=doubt)

    def _named_after(self, name: str) -> Extension:
        """The extension that a name begins with, as ``101-wifi`` does, or else the name."""
        begins = _DIGITS.match(name)
        return (self.extension_in(begins[0]) if begins is not None else None) or Extension(name)


def _endpoint(channel: str) -> tuple[str, str]:
    """Technology and endpoint of a channel name; its serial has any form, and an endpoint may hold a dash."""
    technology, _, rest = channel.partition("/")
    return technology, rest.rpartition("-")[0] or rest


def endpoint_of(channel: str) -> str:
    """``Technology/endpoint`` of a channel name, without serial, Local half or ``/n``."""
    name = channel.partition(";")[0].removesuffix("/n")
    head, dash, serial = name.rpartition("-")
    return head if dash and _SERIAL.fullmatch(serial) else name


def dialled_number(dial_string: str) -> str | None:
    """The number in a dial string: ``89161112233@trunk`` or ``trunk/sip:89161112233@host`` (PJSIP),
    ``trunk/89161112233`` (SIP, DAHDI, IAX2)."""
    for part in (dial_string, dial_string.rpartition("/")[2]):
        number = _CONTACT.sub("", part).partition("@")[0]
        if _NUMBER.fullmatch(number):
            return number
    return None


_SERIAL = re.compile(r"[0-9a-fA-F]{8}")
_CONTACT = re.compile(r"(?:^|(?<=/))sips?:")
_DIGITS = re.compile(r"[0-9]+")
_GUEST = re.compile(r"anonymous|[0-9]+(?:\.[0-9]+){3}|\[?[0-9a-f]*:[0-9a-f:.]*\]?")
"""Who calls without an account: PJSIP's endpoint of that name, or chan_sip's address."""
_NUMBER = re.compile(r"\+?[0-9*#]{3,}")
