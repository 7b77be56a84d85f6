"""One PBX: as the bridge goes to it, and then what else the account may ask. Nothing there is changed.

Which events an account may hear Asterisk tells nobody: it shows in what is heard, now or in the calls that were.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amibridge.ami import actions
from amibridge.ami.errors import ActionRefused, AmiError, HostUnreachable, LoginRefused
from amibridge.ami.link import AmiAddress, Link, LinkSettings
from amibridge.ami.reading import time_of
from amibridge.doctor.clocks import ago, compared
from amibridge.doctor.endpoints import Endpoint, judged
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.doctor.pbx_ear import Ear
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.store.survey import Survey

LISTENING = timedelta(seconds=10)
"""Where no call proves yet that events come: time to make one."""

BRIEFLY = timedelta(seconds=3)
"""Where one does, and only their times are to be seen."""

WITHIN = timedelta(seconds=40)
"""All of it: a connection, a login and some questions, each of which may take its time."""

LATELY = timedelta(days=3)
"""A call since then proves that events come: a long weekend with nobody in the office is not a fault."""

STANZA = "read = system,call,agent,dialplan and write = system,reporting,originate,call"
RELOAD = "then `manager reload` on the PBX"

TRANSFERS = frozenset({"BlindTransfer", "Atxfer", "CancelAtxfer"})

TOO_MUCH = ("Command", "UpdateConfig")
"""What lets whoever learns the secret take over the PBX, and what no part of the bridge asks."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """A link that is up, all that it hears, and the names of the actions that it may do."""

    host: AmiHost
    link: Link
    ear: Ear
    permitted: frozenset[str]


async def pbx(
    host: AmiHost, enterprise: Enterprise, survey: Survey, *, listening: timedelta = LISTENING
) -> AsyncGenerator[Finding]:
    about = f"{host.name} login"
    ear = Ear()
    address = AmiAddress(host.host, host.port, host.username, host.secret)
    link = Link(address, lambda events: None, settings=LinkSettings(), tap=ear.hear)
    try:
        await link.open()
    except AmiError as error:
        await link.close()
        yield fail(about, f"{host.host}:{host.port}: {error}", _how_to_get_in(error, host))
        return
    try:
        reply = await link.send(actions.list_commands())
        visit = _Visit(host, link, ear, frozenset(reply.message.headers))
        yield ok(about, f"{await _version(visit)} at {host.host}:{host.port}, as {host.username}")
        for finding in _rights(visit):
            yield finding
        yield await _clock(visit)
        for finding in await _endpoints(visit, enterprise):
            yield finding
        async with aclosing(_events(visit, survey, listening)) as findings:
            async for finding in findings:
                yield finding
    except AmiError as error:
        yield fail(about, f"it let us in, and then: {error}", "look at the PBX's log and load")
    finally:
        await link.close()


def _how_to_get_in(error: AmiError, host: AmiHost) -> str:
    match error:
        case HostUnreachable():
            return (
                "look whether Asterisk runs, at `enabled`, `port` and `bindaddr` under [general] of its manager.conf, "
                "and at firewalls in between"
            )
        case LoginRefused():
            return (
                f"in manager.conf look at [{host.username}]: its `secret`, and whether `permit` covers the address of "
                f"this machine; {RELOAD}. Another secret goes into the enterprise file, which is applied again"
            )
        case _:
            return "look at `host` and `port` of the enterprise file: AMI, not SIP or HTTP"


async def _version(visit: _Visit) -> str:
    version = ""
    if "CoreSettings" in visit.permitted:
        with suppress(ActionRefused):
            version = (await visit.link.send(actions.core_settings())).message.get("AsteriskVersion")
    return f"Asterisk {version}" if version else f"AMI {visit.link.version}"


def _rights(visit: _Visit) -> Iterator[Finding]:
    about, well = f"{visit.host.name} rights", True
    for missing, found, advice in (
        (not visit.link.filtered, *_unfiltered(visit)),
        (
            not visit.link.lists_channels,
            "it may not ask which channels live: calls that end while we are away stay open until the next start",
            f"`write` of this account needs reporting; {RELOAD}",
        ),
        (
            not visit.ear.booted,
            "it is not told when Asterisk stops or has started: its `read` lacks system",
            f"{STANZA}; {RELOAD}",
        ),
        (
            "Originate" not in visit.permitted,
            "it may not place calls: whoever clicks on a number in the CRM hears nothing",
            f"`write` of this account needs originate; {RELOAD}",
        ),
        (
            not visit.permitted >= TRANSFERS,
            "it may not transfer calls: whoever asks for that over HTTP hears that the PBX refuses",
            f"`write` of this account needs call; {RELOAD}",
        ),
        (
            not visit.permitted.isdisjoint(TOO_MUCH),
            "it may run commands on the PBX or change its files, which the bridge never does",
            f"take command and config out of `write`: {STANZA} are enough; {RELOAD}",
        ),
    ):
        if missing:
            well = False
            yield warn(about, found, advice)
    if well:
        may = "set the event filter, ask which channels live, place calls and transfer them"
        yield ok(about, f"it may {may}, and is told of restarts")


def _unfiltered(visit: _Visit) -> tuple[str, str]:
    if "Filter" in visit.permitted:
        return "Asterisk did not take our event filter: five times the traffic", "send us its version"
    return (
        "it may not set an event filter: five times the traffic, and Asterisk drops who reads too slowly",
        f"`write` of this account needs system; {RELOAD}",
    )


async def _clock(visit: _Visit) -> Finding:
    about = f"{visit.host.name} clock"
    asked = datetime.now(UTC)
    told = time_of((await visit.link.send(actions.ping())).message.get("Timestamp"))
    if told is None:
        return warn(about, "it does not tell its time", "compare `date` on both machines")
    return compared(about, told, asked, datetime.now(UTC))


async def _endpoints(visit: _Visit, enterprise: Enterprise) -> list[Finding]:
    about, found = f"{visit.host.name} endpoints", list[Endpoint]()
    if visit.permitted.isdisjoint(("PJSIPShowEndpoints", "SIPpeers")):
        advice = f"`write` of this account needs system for that; {RELOAD}"
        return [warn(about, "it may not list them, so `internal` and `trunks` are not compared with them", advice)]
    with suppress(ActionRefused):  # so it says that there are none
        if "PJSIPShowEndpoints" in visit.permitted:
            listing = actions.pjsip_show_endpoints(), "EndpointList", "EndpointListComplete"
            for item in await visit.ear.listed(visit.link, *listing):
                away = item.get("DeviceState") in ("Unavailable", "Invalid")
                # What a phone signs in with may be named a second time, for challenges of its own.
                registers = item.get("OutboundAuths") not in ("", item.get("Auths"))
                found.append(Endpoint(f"PJSIP/{item.get('ObjectName')}", registers, away))
    with suppress(ActionRefused):
        if "SIPpeers" in visit.permitted:
            for item in await visit.ear.listed(visit.link, actions.sip_peers(), "PeerEntry", "PeerlistComplete"):
                away = item.get("Dynamic") == "yes" and item.get("IPaddress") == "-none-"
                found.append(Endpoint(f"SIP/{item.get('ObjectName')}", away=away))
    if not found:
        return [warn(about, "it lists none, neither PJSIP nor SIP", "look whether this is the PBX that was meant")]
    host = visit.host
    return list(judged(found, host.numbering, enterprise.operators, host.name, enterprise.supervisors))


async def _events(visit: _Visit, survey: Survey, listening: timedelta) -> AsyncGenerator[Finding]:
    about, host, now = f"{visit.host.name} events", visit.host, datetime.now(UTC)
    newest = await survey.newest_call(host.enterprise, host.name)
    proven = newest is not None and now - newest < LATELY
    within = min(listening, BRIEFLY) if proven else listening
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            await visit.ear.hears("call")
    last = "no call of it is known" if newest is None else f"its newest call ended {ago(newest, now)}"
    none = f"none within {within.total_seconds():g} s"
    if "call" in visit.ear.classes:
        yield ok(about, f"heard now, of the classes {', '.join(sorted(visit.ear.classes))}")
    elif proven:
        yield ok(about, f"{none}; {last}")
    else:
        advice = (
            f"ask again, and let somebody call meanwhile. If nothing is heard then: {STANZA}, "
            f"and no `eventfilter` that holds back what we need; {RELOAD}"
        )
        yield warn(about, f"{none}, and {last}", advice)
    if visit.ear.stamped is False:
        found = "they do not say when they happened, so calls are timed by when we hear of them"
        yield warn(about, found, f"timestampevents = yes under [general] of manager.conf; {RELOAD}")
