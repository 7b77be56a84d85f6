"""What the phones themselves said of the recorded calls, and whether a CRM's history agrees with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amibridge.calls.phones import shown, to_e164
from amibridge.calls.record import Extension
from amibridge.retailcrm.render import WITHHELD
from amibridge.sandbox.crm_account import CrmAccount, StoredCall

RESULTS: Mapping[str, str] = {
    "answered": "answered",
    "missed": "no answer",
    "no-answer": "no answer",
    "cancelled": "no answer",
    "busy": "busy",
    "failed": "failed",
}
"""How a call ended, in the words of a truth file, and in those of a CRM's history."""

TOLERANCE = 1.0
"""Seconds: the CRM's durations are whole ones."""


@dataclass(frozen=True, slots=True)
class TrueCall:
    """A call with somebody outside, as the CRM should have it. *extension*: who is credited, None for nobody.

    *waited*, *talked*: seconds. When it began is not here: a sandbox PBX moves it.
    """

    trace: str
    kind: str
    result: str
    phone: str
    line: str | None
    extension: Extension | None
    waited: float
    talked: float

    def __str__(self) -> str:
        return (
            f"{self.trace}: {self.kind} {self.phone} {self.result}, line {self.line}, "
            f"{self.extension or 'nobody'}, waited {self.waited:.0f} s, talked {self.talked:.0f} s"
        )


def true_calls(traces: Iterable[Path], region: str) -> list[TrueCall]:
    """The calls in *traces* that the CRM must have once each; internal ones are not among them."""
    return [call for trace in traces for call in _external(trace, region)]


def played_calls(traces: Iterable[Path]) -> int:
    """How many calls there are in *traces*, internal ones too."""
    return sum(len(_told(trace)) for trace in traces)


def differences(stored: Sequence[StoredCall], account: CrmAccount, wanted: Iterable[TrueCall]) -> list[str]:
    """What is missing in a history, or is too much in it; nothing when it has each wanted call once."""
    left, found = list(stored), []
    for call in wanted:
        match = next((one for one in left if _agree(one, account, call)), None)
        if match is None:
            found.append(f"missing: {call}")
        else:
            left.remove(match)
    found += [
        f"too much: {one.external_id}: {one.kind} {one.phone} {one.result}, line {one.external_phone}, "
        f"{_extension(one, account) or 'nobody'}, waited {one.duration_waiting} s, talked {one.duration} s, "
        f"dated {one.date:%Y-%m-%d %H:%M:%S}"
        for one in left
    ]
    return found


def _external(trace: Path, region: str) -> Iterator[TrueCall]:
    for told in _told(trace):
        if told["direction"] == "internal":
            continue
        outgoing = told["direction"] == "outgoing"
        # An outgoing call is credited to the one who placed it, answered or not.
        credited = told["caller"] if outgoing else told["answered_by"]
        number = shown(told["external_number"])
        yield TrueCall(
            trace=trace.name.partition(".")[0],
            kind="out" if outgoing else "in",
            result=RESULTS[told["disposition"]],
            phone=to_e164(number, region) or number or WITHHELD,
            line=told["did"],
            extension=None if credited is None else Extension(credited),
            waited=(told["answer"] or told["hangup"]) - told["start"],
            talked=told["talk_s"],
        )


def _told(trace: Path) -> list[dict[str, Any]]:
    text = trace.with_name(trace.name.removesuffix(".ami") + ".truth.json").read_text("utf-8")
    calls: list[dict[str, Any]] = json.loads(text)["calls"]
    return calls


def _agree(stored: StoredCall, account: CrmAccount, wanted: TrueCall) -> bool:
    return (
        (stored.kind, stored.result, stored.phone) == (wanted.kind, wanted.result, wanted.phone)
        # Which line an outgoing call takes is not told before a trunk is tried.
        and (stored.external_phone == wanted.line or (wanted.kind == "out" and stored.external_phone is None))
        and _extension(stored, account) == wanted.extension
        and abs((stored.duration_waiting or 0) - wanted.waited) <= TOLERANCE
        and abs((stored.duration or 0) - wanted.talked) <= TOLERANCE
        and _is_dated_right(stored)
    )


def _is_dated_right(stored: StoredCall) -> bool:
    """Its id is its first channel's Uniqueid, which begins with the second of that channel's birth."""
    born = stored.external_id.rpartition(":")[2].partition(".")[0]
    return born.isdigit() and abs(stored.date.timestamp() - int(born)) <= TOLERANCE


def _extension(stored: StoredCall, account: CrmAccount) -> str | None:
    user = account.user(stored.user_id, stored.code)
    return stored.code if user is None else user.code
