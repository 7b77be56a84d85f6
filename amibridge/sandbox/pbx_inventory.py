"""What the sandbox PBX tells about itself: its version, what an account may do, and its endpoints."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from amibridge.calls.numbering import endpoint_of
from amibridge.sandbox.pbx_score import Score

VERSION = {"AMIversion": "11.0.0", "AsteriskVersion": "22.10.1", "SystemName": "", "CoreMaxCalls": "0"}

COMMANDS = {
    "Atxfer": "Attended transfer.  (Priv: call,all)",
    "BlindTransfer": "Blind transfer channel(s) to the given destination  (Priv: call,all)",
    "CancelAtxfer": "Cancel an attended transfer.  (Priv: call,all)",
    "Challenge": "Generate Challenge for MD5 Auth.  (Priv: <none>)",
    "CoreSettings": "Show PBX core settings (version etc).  (Priv: system,reporting,all)",
    "CoreShowChannels": "List currently active channels.  (Priv: system,reporting,all)",
    "Filter": "Dynamically add filters for the current manager session.  (Priv: system,all)",
    "ListCommands": "List available manager commands.  (Priv: <none>)",
    "Login": "Login Manager.  (Priv: <none>)",
    "Logoff": "Logoff Manager.  (Priv: <none>)",
    "Originate": "Originate a call.  (Priv: originate,all)",
    "Ping": "Keepalive command.  (Priv: <none>)",
    "PJSIPShowEndpoints": "Lists PJSIP endpoints.  (Priv: system,all)",
    "SIPpeers": "List SIP peers (text format).  (Priv: system,reporting,all)",
}

LISTS = {
    "CoreShowChannel": ("Channels will follow", "CoreShowChannelsComplete"),
    "EndpointList": (
        "A listing of Endpoints follows, presented as EndpointList events",
        "EndpointListComplete",
    ),
    "PeerEntry": ("Peer status list will follow", "PeerlistComplete"),
}
"""The item of a list → what is said before the first and the event after the last."""

CHANNEL = re.compile(rb"^(?:Dest)?Channel: ((?:PJSIP|SIP)/[^\r\n]+)\r$", re.MULTILINE)


def event(name: str, headers: Mapping[str, str]) -> bytes:
    """As it goes over the wire."""
    lines = {"Event": name, **headers}
    return "".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode() + b"\r\n"


def commands_without(refused: Collection[str]) -> dict[str, str]:
    """What `ListCommands` tells somebody who may not do the *refused* actions."""
    forbidden = {name.lower() for name in refused}
    return {name: says for name, says in COMMANDS.items() if name.lower() not in forbidden}


def endpoints_in(scores: Iterable[Score]) -> dict[str, list[str]]:
    """The endpoints that appear in *scores*, by technology."""
    found = {"PJSIP": set[str](), "SIP": set[str]()}
    for score in scores:
        for note in score.notes:
            for channel in CHANNEL.findall(note.raw):
                technology, _, name = endpoint_of(channel.decode("utf-8", "replace")).partition("/")
                found[technology].add(name)
    return {technology: sorted(names) for technology, names in found.items()}


def pjsip_endpoints(names: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """The items of `PJSIPShowEndpoints`."""
    for name in names:
        yield {
            "ObjectType": "endpoint",
            "ObjectName": name,
            "Transport": "",
            "Aor": name,
            "Auths": "",
            "OutboundAuths": "",
            "Contacts": f"{name}/sip:{name}@127.0.0.1:5060,",
            "DeviceState": "Not in use",
            "ActiveChannels": "0",
        }


def sip_peers(names: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """The items of `SIPpeers`."""
    for name in names:
        yield {
            "Channeltype": "SIP",
            "ObjectName": name,
            "ChanObjectType": "peer",
            "IPaddress": "127.0.0.1",
            "IPport": "5060",
            "Dynamic": "no",
            "Status": "Unmonitored",
        }
