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
    joined: float | None = None
    bridged: float = 0.0
    recording: str | None = None

    def leave(self, at: float) -> None:
        self.bridge = ""
        self.bridged += 0.0 if self.joined is None else at - self.joined
        self.joined = None


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
        channel = self._alive.get(headers.get("Uniqueid", ""))
        if channel is None:
            return
        if "ChannelState" in headers:
            channel.latest.update((key, headers[key]) for key in SHOWN if key in headers)
        match event:
            case "Newexten":
                channel.application = (headers.get("Application", ""), headers.get("AppData", ""))
            case "BridgeEnter":
                channel.bridge, channel.joined = headers["BridgeUniqueid"], at
            case "BridgeLeave":
                channel.leave(at)
            case "VarSet" if headers.get("Variable") == "MIXMONITOR_FILENAME":
                channel.recording = headers.get("Value")
            case "Hangup":
                del self._alive[headers["Uniqueid"]]
                channel.leave(at)
                self._record(channel)

    def clear(self) -> None:
        """None lives any more, and nothing is recorded."""
        self._alive.clear()

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

    def _record(self, channel: _Channel) -> None:
        """What MixMonitor's option `b` leaves: the time spent in bridges."""
        if self.monitor_dir is not None and channel.recording is not None:
            heard = timedelta(seconds=channel.bridged)
            write_recording(self.monitor_dir / PurePosixPath(channel.recording).name, heard)
