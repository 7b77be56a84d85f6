"""What really happened in a trace, read from its truth file, in the words of the call record."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amibridge.ami.events import AmiEvent
from amibridge.ami.session import Reply, Session

WITHHELD = {"", "anonymous"}

AMI_SEES = {
    "+7%20(916)%20123-45-67": "+7 (916) 123-45-67",
    "+79161234567;phone-context=x": "+79161234567",
}
"""From-header spellings that Asterisk itself decodes or shortens before AMI shows them."""

PAI_VARIANTS = {
    "anonymous with PAI +79161234567, Privacy: id": "+79161234567",
    "PAI differs from From: PAI +79160001122": "+79160001122",
}
"""With trust_id_inbound Asterisk shows the asserted identity, not the From header."""

NEVER_SHOWN = {
    "p2_originate_agent_noanswer": {"line"},
    "w1_crash_kill9_midcall": {"ended_at", "talk_seconds", "hangup_by"},
}
"""What no byte of that trace tells: a line that was never dialled, the moment of a crash."""


@dataclass(frozen=True)
class Expected:
    fields: dict[str, Any]
    times: dict[str, datetime | None]
    talk_seconds: float


def read_bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def events_of(path: Path) -> list[AmiEvent]:
    received = Session().receive_data(read_bytes(path))
    return [one for one in received if not isinstance(one, Reply)]


def truths(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(read_bytes(path))["calls"]
    return loaded


def expected(truth: dict[str, Any]) -> Expected:
    """The record a truth stands for; a published definition maps its older vocabulary."""
    direction = truth["direction"]
    return Expected(
        fields={
            "direction": direction,
            "outcome": truth["disposition"].replace("-", "_"),
            "external_number": _number(truth),
            "line": truth["did"],
            "caller": truth["caller"],
            "queue": truth.get("queue"),
            "rang": [] if direction == "outgoing" else truth["rang"],
            "operators": _operators(truth),
            "hangup_by": _hangup_by(truth),
            "click_to_call": truth.get("action_id"),
            "transfers": _transfers(truth),
        },
        times={
            "started_at": _time(truth["start"]),
            "rang_at": _time(truth["ring_start"]),
            "answered_at": _time(truth["answer"]),
            "ended_at": _time(truth["hangup"]),
        },
        talk_seconds=truth["talk_s"],
    )


def _number(truth: dict[str, Any]) -> str | None:
    number: str | None = truth["external_number"]
    if (shown := PAI_VARIANTS.get(truth.get("variant", ""))) is not None:
        return shown
    if number in WITHHELD:
        return None
    return number if number is None else AMI_SEES.get(number, number)


def _operators(truth: dict[str, Any]) -> list[str]:
    if truth["answered_by"] is None:
        return []
    if truth["direction"] == "outgoing":
        return [truth["caller"]]
    return [truth["answered_by"], *([truth["last_agent"]] if "last_agent" in truth else [])]


def _transfers(truth: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(kind, from, to, answered) of each; all that the traces show were answered."""
    picked_up = [truth["pickup"]] if "pickup" in truth else []
    return [
        *((one["kind"], one["from"], one["to"], True) for one in truth["transfers"]),
        *(("forward", one["from"], one["to"], True) for one in truth.get("forwarded", [])),
        *(("pickup", one["rang"], one["by"], True) for one in picked_up),
        *(("park", one["by"], one["space"], "retrieved_by" in one) for one in truth.get("parked", [])),
    ]


def _hangup_by(truth: dict[str, Any]) -> str | None:
    said: str = truth["hangup_by"]
    if said == "caller":
        return "customer" if truth["direction"] == "incoming" else "operator"
    return {"agent": "operator", "crash": None}.get(said, said)


def _time(epoch: float | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)
