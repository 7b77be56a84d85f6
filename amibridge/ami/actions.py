"""Actions: what we ask Asterisk to do. Frozen, and safe to write onto the wire.

Law: a value with CR, LF or NUL would become headers or a second action; it is refused here, once for all.
Source: https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Actions/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from amibridge.ami.errors import UnsafeValue
from amibridge.ami.events import CLICK_VARIABLE
from amibridge.ami.reading import FOLDED_VARIABLES, READERS

UNSAFE = frozenset("\r\n\0")


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its name and headers in order. Raises UnsafeValue."""

    name: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for text in (self.name, *(part for header in self.headers for part in header)):
            if UNSAFE.intersection(text):
                raise UnsafeValue(f"{self.name!r}: a header holds a line break or NUL")


def login(username: str, secret: str) -> Action:
    return Action("Login", (("Username", username), ("Secret", secret), ("Events", "on")))


def logoff() -> Action:
    return Action("Logoff")


def ping() -> Action:
    return Action("Ping")


def core_show_channels() -> Action:
    return Action("CoreShowChannels")


def list_commands() -> Action:
    """Every action that this login may do, as headers of one answer; anybody may ask."""
    return Action("ListCommands")


def core_settings() -> Action:
    """Asterisk's version among other things. Needs write=system or reporting."""
    return Action("CoreSettings")


def pjsip_show_endpoints() -> Action:
    """A list of `EndpointList` events. Needs write=system; refused where there are none."""
    return Action("PJSIPShowEndpoints")


def sip_peers() -> Action:
    """The same of chan_sip, a list of `PeerEntry` events. Needs write=system or reporting."""
    return Action("SIPpeers")


def add_filter(regex: str) -> Action:
    """Whitelist events that match the POSIX extended *regex*, for this login; several are OR-ed. Needs write=system."""
    return Action("Filter", (("Operation", "Add"), ("Filter", regex)))


def originate(
    channel: str,
    *,
    context: str,
    exten: str,
    caller_id: str,
    click: str,
    timeout_ms: int = 30_000,
    variables: Iterable[tuple[str, str]] = (),
) -> Action:
    """Ring *channel* and, when it is answered, send it to *exten* in *context*. Answered at once with "queued".

    *click*: our id of it, which every channel of the call inherits; a failed `OriginateResponse` comes too late for it.
    """
    return Action(
        "Originate",
        (
            ("Channel", channel),
            ("Context", context),
            ("Exten", exten),
            ("Priority", "1"),
            ("CallerID", caller_id),
            ("Timeout", str(timeout_ms)),
            ("Async", "true"),
            *(("Variable", f"{name}={value}") for name, value in ((f"__{CLICK_VARIABLE}", click), *variables)),
        ),
    )


def event_filter() -> str:
    """The regular expression for `add_filter` that lets through what we fold and nothing else.

    One and not several: from the first whitelist line on, what the next one would allow is held back until it comes.
    The names end in a non-letter, for ``Event: Hangup`` alone also matches HangupRequest.
    """
    events = "|".join(sorted(name.decode() for name in READERS if name != b"VarSet"))
    return f"^Event: ({events})[^A-Za-z]|Variable: ({'|'.join(FOLDED_VARIABLES)})[^A-Za-z_]"
