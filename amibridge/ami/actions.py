"""Actions: what we ask Asterisk to do. Frozen, and safe to write onto the wire.

Law: a value with CR, LF or NUL would become headers or a second action; it is refused here, once for all.
Source: https://docs.asterisk.org/Latest_API/API_Documentation/AMI_Actions/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from amibridge.ami.errors import UnsafeValue
from amibridge.ami.events import CLICK, CLICK_VARIABLE, Uniqueid
from amibridge.ami.reading import FOLDED_VARIABLES, READERS

UNSAFE = frozenset("\r\n\0")
UNSAFE_IN_VARIABLE = UNSAFE | frozenset(',"\\()[]')
"""What would end a variable's value, or begin another variable: Asterisk splits the header as it does arguments."""

RINGS_FOR = timedelta(seconds=30)
"""How long an operator's phone rings for a call that was asked for."""

FETCHER_RINGS_FOR = timedelta(seconds=20)
"""The same for one that is there: less than whoever asks over HTTP waits for an answer."""


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


def parked_calls() -> Action:
    """A list of `ParkedCall` events; anybody may ask. Refused where res_parking is not loaded."""
    return Action("ParkedCalls")


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
    caller: str,
    shown: str | None = None,
    uniqueid: Uniqueid,
    rings_for: timedelta = RINGS_FOR,
    variables: Iterable[tuple[str, str]] = (),
) -> Action:
    """Ring *channel* and, when it is answered, send it to *exten* in *context*. Answered at once with "queued".

    The first channel gets *uniqueid*, so that the call is known before it begins; every channel inherits the ActionID
    as `CLICK_VARIABLE`. The phone shows *exten* and, if it is given, the name *shown*. The call goes out as one that
    *caller* dialled: the header CallerID would make it one of whom the phone shows. Needs write=originate.
    """
    then = (("Context", context), ("Exten", exten), ("Priority", "1"))
    click = (f"__{CLICK_VARIABLE}", f"{CLICK}{uniqueid}")
    return _originate(channel, then, caller, exten, shown, uniqueid, rings_for, (click,), variables)


def pick_up(
    channel: str, ringing: str, *, caller: str, number: str | None, shown: str | None, uniqueid: Uniqueid
) -> Action:
    """Ring *channel*, and give it the call for which the channel named *ringing* rings. Like `originate`."""
    return _fetch(channel, "PickupChan", ringing, caller, number, shown, uniqueid)


def fetch_parked(
    channel: str, lot: str, space: str, *, caller: str, number: str | None, shown: str | None, uniqueid: Uniqueid
) -> Action:
    """Ring *channel*, and give it whoever is parked there."""
    return _fetch(channel, "ParkedCall", f"{_argument(lot)},{_argument(space)}", caller, number, shown, uniqueid)


def _fetch(
    channel: str, application: str, argument: str, caller: str, number: str | None, shown: str | None, own: Uniqueid
) -> Action:
    then = (("Application", application), ("Data", argument))
    return _originate(channel, then, caller, number, shown, own, FETCHER_RINGS_FOR)


def _originate(
    channel: str,
    then: tuple[tuple[str, str], ...],
    caller: str,
    number: str | None,
    name: str | None,
    uniqueid: Uniqueid,
    rings_for: timedelta,
    first: Iterable[tuple[str, str]] = (),
    last: Iterable[tuple[str, str]] = (),
) -> Action:
    """*first* and *last*: further variables, in the order in which they are set."""
    named = (("CONNECTEDLINE(num,i)", number), ("CONNECTEDLINE(name,i)", name))
    shown = ((what, value) for what, value in named if value is not None)
    every = (*first, ("CALLERID(num)", caller), *shown, *last)
    return Action(
        "Originate",
        (
            ("ActionID", f"{CLICK}{uniqueid}"),
            ("Channel", channel),
            ("ChannelId", uniqueid),
            ("OtherChannelId", f"{uniqueid}2"),  # of the second half, where it is a Local channel
            *then,
            ("Timeout", str(round(rings_for.total_seconds() * 1000))),
            ("Async", "true"),
            *(("Variable", _assigned(what, value)) for what, value in every),
        ),
    )


def blind_transfer(channel: Uniqueid, *, context: str, exten: str) -> Action:
    """Whoever talks with *channel* is led to *exten* in *context*, and the channel hangs up. Answered when it is done.

    A channel goes by its Uniqueid here as below, which Asterisk takes in place of its name: that may change (pickup).
    Needs write=call, as all that follow.
    """
    return Action("BlindTransfer", (("Channel", channel), ("Context", context), ("Exten", exten)))


def attended_transfer(channel: Uniqueid, *, context: str, exten: str) -> Action:
    """Press for *channel* the keys of features.conf's `atxfer`, then *exten*. Answered before the PBX has heard them;
    where the dialplan does not let this phone transfer (Dial's t and T), the other party hears them, too."""
    return Action("Atxfer", (("Channel", channel), ("Context", context), ("Exten", exten)))


def cancel_attended_transfer(channel: Uniqueid) -> Action:
    """Press the keys of `atxferabort`: *channel* is back with whom he left waiting. Answered before they are heard."""
    return Action("CancelAtxfer", (("Channel", channel),))


def hang_up(channel: Uniqueid) -> Action:
    return Action("Hangup", (("Channel", channel),))


def name_of_channel(channel: Uniqueid) -> Action:
    """Answered with ``Value``. Needs write=call or reporting."""
    return Action("Getvar", (("Channel", channel), ("Variable", "CHANNEL(name)")))


def park(channel: Uniqueid, *, parker: str, patience: timedelta | None) -> Action:
    """*channel* waits in the parking lot of who parks, the channel named *parker*, whose phone is called back after
    *patience*, or when the lot says.

    Alone in one bridge with it, *parker* hears the space and is hung up: that is answered before it is done, and a lot
    that is full is told to nobody but him. Elsewhere he is left alone. Known by its name alone: a Uniqueid there would
    call nobody back.
    """
    limit = () if patience is None else (("Timeout", str(round(patience.total_seconds() * 1000))),)
    return Action("Park", (("Channel", channel), ("TimeoutChannel", parker), *limit))


def _argument(value: str) -> str:
    """One argument of an application."""
    if "," in value:
        raise UnsafeValue("a comma would begin another argument")
    return value


def _assigned(name: str, value: str) -> str:
    if UNSAFE_IN_VARIABLE.intersection(value):
        raise UnsafeValue(f"{name}: its value holds what does not stand in one")
    return f"{name}={value}"


def event_filter() -> str:
    """The regular expression for `add_filter` that lets through what we fold and nothing else.

    One and not several: from the first whitelist line on, what the next one would allow is held back until it comes.
    The names end in a non-letter, for ``Event: Hangup`` alone also matches HangupRequest.
    """
    events = "|".join(sorted(name.decode() for name in READERS if name != b"VarSet"))
    return f"^Event: ({events})[^A-Za-z]|Variable: ({'|'.join(FOLDED_VARIABLES)})[^A-Za-z_]"
