"""What transfers, parking and fetching have in common: one call that is meant, and one thing at a time for each.

Laws: what is meant is taken from the boards of hosts whose links are up, and never guessed; a host that is away is not
"nobody".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from amibridge.ami.errors import ActionRefused, AmiError
from amibridge.ami.events import Uniqueid
from amibridge.calls.clicks import asked_extension
from amibridge.calls.conversations import Conversation
from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.calls.waiting import Fate, Parked, Ringing
from amibridge.enterprises import AmiHost, Enterprise
from amibridge.runtime.one_at_a_time import AnotherIsUnderWay, OneAtATime

LOOKED_EVERY = 0.02
"""Seconds between two looks at the board, while something is to show there."""


class Sight(Protocol):
    """What a board shows at this moment."""

    def conversations(self, extension: Extension) -> Sequence[Conversation]: ...

    def ringing(self, extension: Extension) -> Sequence[Ringing]: ...

    def parked(self) -> Sequence[Parked]: ...

    def fate(self, channel: Uniqueid) -> Fate: ...


class OfACall(Protocol):
    @property
    def call(self) -> CallId: ...


Found = TypeVar("Found", bound=OfACall)
Answer = TypeVar("Answer")


def operator_of(enterprise: Enterprise, code: str) -> Extension:
    """Raises ClickRefused."""
    return asked_extension(code, enterprise.operators, [host.numbering for host in enterprise.hosts])


def the_one(
    hosts: Sequence[AmiHost], look: Callable[[AmiHost], Iterable[Found]], call: str | None, nobody: TransferRefused
) -> tuple[AmiHost, Found]:
    """The only one that *look* finds, of that *call* if one is named. It raises AmiError where nobody knows.

    Raises TransferRefused, TransferFailed.
    """
    found: list[tuple[AmiHost, Found]] = []
    away: TransferFailed | None = None
    for host in hosts:
        try:
            found += [(host, one) for one in look(host) if call in (None, one.call)]
        except AmiError as error:
            away = TransferFailed(f"{host.name}: {error}")
    if not found:
        raise away or nobody
    if len(found) > 1:
        raise TransferRefused(Why.SEVERAL, "Several calls can be meant; name one by its `call`.")
    return found[0]


async def in_turn(
    turns: OneAtATime, enterprise: Enterprise, operator: Extension, asked: object, work: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Raises TransferRefused, and what *work* raises."""
    try:
        return await turns.do((enterprise.id, operator), asked, work)
    except AnotherIsUnderWay:
        raise TransferRefused(Why.BUSY, "Something else is under way for this extension.") from None


def advice(error: Exception, right: str = "call") -> dict[str, str]:
    """What to do about *error*, for the log."""
    if not isinstance(error, ActionRefused):
        return {}
    if "ermission denied" in str(error):
        return {"advice": f"`write` of the AMI account needs {right}"}
    if "nvalid/unknown command: Park" in str(error):
        return {"advice": "res_parking is not loaded on the PBX: `module load res_parking`"}
    return {}
