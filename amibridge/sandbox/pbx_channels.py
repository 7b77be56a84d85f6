"""The channels that live in the sandbox PBX at this moment, told from the events it plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath

from amibridge.ami.wire import read_message
from amibridge.sandbox.recordings import write_recording

Headers = Mapping[str, str]

SHOWN = (
    "Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName", "ConnectedLineNum",
    "ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority", "Uniqueid", "Linkedid",
)  # fmt: skip
"""What `CoreShowChannels` repeats of a channel's latest event."""


@dataclass(slots=True)
class _Channel:
    latest: dict[str, str]
    born: float
    application: tuple[str, str] = ("", "")
    bridge: str = ""
    talk_began: float | None = None
    recording: str | None = None


@dataclass(slots=True)
class Channels:
    """Times are those of the events, in epoch seconds. *monitor_dir*: where the recordings of ended calls appear."""

    monitor_dir: Path | None = None
    _alive: dict[str, _Channel] = field(default_factory=dict)

    def observe(self, raw: bytes) -> None:
        """Take note of an event that is being played."""
        headers = read_message(raw.rstrip(b"\r\n")).headers
        event, at = headers.get("Event", ""), float(headers.get("Timestamp", "0"))
        if event == "Newchannel":
            self._alive[headers["Uniqueid"]] = _Channel(dict(headers), at)
        if event == "DialBegin" and (dialled := self._alive.get(headers["DestUniqueid"])) is not None:
            dialled.application = ("AppDial", "(Outgoing Line)")
        channel = self._alive.get(headers.get("Uniqueid", ""))
        if channel is None:
            return
        if "ChannelState" in headers:
            channel.latest.update((key, headers[key]) for key in SHOWN if key in headers)
        match event:
            case "Newexten":
                channel.application = (headers.get("Application", ""), headers.get("AppData", ""))
            case "BridgeEnter":
                channel.bridge = headers["BridgeUniqueid"]
                channel.talk_began = channel.talk_began or at
            case "BridgeLeave":
                channel.bridge = ""
            case "VarSet" if headers.get("Variable") == "MIXMONITOR_FILENAME":
                channel.recording = headers.get("Value")
            case "Hangup":
                del self._alive[headers["Uniqueid"]]
                self._record(channel, at)

    def shown(self, now: float) -> Iterator[Headers]:
        """Each living channel as `CoreShowChannels` lists it at *now*."""
        for channel in self._alive.values():
            hours, rest = divmod(int(max(0.0, now - channel.born)), 3600)
            yield {
                **{key: channel.latest.get(key, "") for key in SHOWN},
                "Application": channel.application[0],
                "ApplicationData": channel.application[1],
                "Duration": f"{hours:02}:{rest // 60:02}:{rest % 60:02}",
                "BridgeId": channel.bridge,
            }

    def __len__(self) -> int:
        return len(self._alive)

    def _record(self, channel: _Channel, ended: float) -> None:
        if self.monitor_dir is None or channel.recording is None:
            return
        talked = timedelta(0) if channel.talk_began is None else timedelta(seconds=ended - channel.talk_began)
        write_recording(self.monitor_dir / PurePosixPath(channel.recording).name, talked)
