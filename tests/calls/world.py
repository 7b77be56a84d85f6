"""The channels that live at a moment of a trace, as `CoreShowChannels` would list them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from amibridge.ami.events import (
    AmiEvent,
    BridgeEnter,
    BridgeLeave,
    BridgeUniqueid,
    ChannelEvent,
    ChannelSnapshot,
    ChannelState,
    CoreShowChannel,
    DialBegin,
    Hangup,
    Newchannel,
    Newstate,
    Uniqueid,
)


@dataclass
class _Alive:
    first: Newchannel
    linkedid: str
    state: ChannelState
    dialled: bool = False
    bridge: BridgeUniqueid | None = None


def snapshot_after(events: Sequence[AmiEvent], at: datetime) -> ChannelSnapshot:
    """What Asterisk would list at *at*, all of *events* having happened. Ages have whole seconds, as there."""
    alive: dict[Uniqueid, _Alive] = {}
    dialled: set[Uniqueid] = set()
    for event in events:
        if isinstance(event, Newchannel):
            alive[event.uniqueid] = _Alive(event, event.linkedid, event.state)
        elif isinstance(event, DialBegin):
            dialled.add(event.dest_uniqueid)
        elif isinstance(event, ChannelEvent) and event.uniqueid in alive:
            one = alive[event.uniqueid]
            one.linkedid = event.linkedid
            if isinstance(event, Newstate):
                one.state = event.state
            elif isinstance(event, BridgeEnter):
                one.bridge = event.bridge
            elif isinstance(event, BridgeLeave):
                one.bridge = None
            elif isinstance(event, Hangup):
                del alive[event.uniqueid]
    return ChannelSnapshot(at, tuple(_shown(one, uniqueid in dialled, at) for uniqueid, one in alive.items()))


def _shown(one: _Alive, dialled: bool, at: datetime) -> CoreShowChannel:
    first = one.first
    age = (at - first.at) // _SECOND * _SECOND
    return CoreShowChannel(
        channel=first.channel,
        uniqueid=first.uniqueid,
        linkedid=type(first.linkedid)(one.linkedid),
        state=one.state,
        caller_id_num=first.caller_id_num,
        caller_id_name=first.caller_id_name,
        connected_line_num=None,
        context=first.context,
        exten=first.exten,
        bridge=one.bridge,
        application="AppDial" if dialled else "Dial",
        age=age,
    )


_SECOND = datetime(2000, 1, 1, 0, 0, 1) - datetime(2000, 1, 1)
