"""Which channel is an operator, a trunk or plumbing: read off its name, its caller ID and the host's settings.

Source of the name shapes: Asterisk's channel names are ``Technology/endpoint-serial``; the halves of a Local
channel are ``Local/exten@context-serial;1`` and ``;2``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from amibridge.calls.record import Extension

DEFAULT_INTERNAL = r"^\d{2,5}$"

PLUMBING_TECHNOLOGIES = frozenset(
    {"Local", "Announcer", "AsyncGoto", "Bridge", "CBAnn", "CBRec", "ConfBridge", "Message", "MulticastRTP", "Recorder",
     "Snoop", "Surrogate", "UnicastRTP"}
)  # fmt: skip
"""Channel technologies behind which nobody stands."""


class Role(StrEnum):
    """What a channel is to the enterprise; who is *the* customer of a call is decided by the call."""

    TRUNK = "trunk"
    OPERATOR = "operator"
    PLUMBING = "plumbing"


@dataclass(frozen=True, slots=True)
class Numbering:
    """How one host names its people and its lines.

    *internal*: regular expression that a whole extension matches. *trunks*: shell patterns of ``Technology/endpoint``
    that are lines to the outside; none means every endpoint that is not an extension. *region*: ISO country in which
    a bare national number is read.
    """

    internal: str = DEFAULT_INTERNAL
    trunks: tuple[str, ...] = ()
    region: str = "RU"
    _internal: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_internal", re.compile(self.internal))

    def is_internal(self, number: str | None) -> bool:
        return number is not None and self._internal.fullmatch(number) is not None

    def role_of(self, channel: str, caller_id_num: str | None) -> tuple[Role, Extension | None]:
        """The role of *channel* and, for an operator's, his extension.

        A named device (``PJSIP/anna``) is an operator only where `trunks` says what the lines are, and by the caller
        ID it presents; a short caller ID that comes in on a line makes nobody an operator.
        """
        technology, _, rest = channel.partition("/")
        if technology in PLUMBING_TECHNOLOGIES:
            return Role.PLUMBING, None
        name = rest.rpartition("-")[0] or rest
        if any(fnmatchcase(f"{technology}/{name}", pattern) for pattern in self.trunks):
            return Role.TRUNK, None
        if self.is_internal(name):
            return Role.OPERATOR, Extension(name)
        if self.trunks and caller_id_num is not None and self.is_internal(caller_id_num):
            return Role.OPERATOR, Extension(caller_id_num)
        return Role.TRUNK, None


def endpoint_of(channel: str) -> str:
    """``Technology/endpoint`` of a channel name, without serial, Local half or ``/n``."""
    name = channel.partition(";")[0].removesuffix("/n")
    head, dash, serial = name.rpartition("-")
    return head if dash and _SERIAL.fullmatch(serial) else name


def dialled_number(dial_string: str) -> str | None:
    """The number in a dial string: ``89161112233@trunk`` (PJSIP) or ``trunk/89161112233`` (SIP, DAHDI, IAX2)."""
    for part in (dial_string.partition("@")[0].removeprefix("sip:"), dial_string.rpartition("/")[2]):
        if _NUMBER.fullmatch(part):
            return part
    return None


_SERIAL = re.compile(r"[0-9a-fA-F]{8}")
_NUMBER = re.compile(r"\+?[\d*#]{3,}")
