"""What holds of what is told along the way, whatever was seen of a call."""

from __future__ import annotations

from collections.abc import Sequence

from amibridge.calls.facts import AnyFact, CallEnded, CallHeld, CallMerged, CallResumed, CallTransferred
from amibridge.calls.record import CallId, Extension


def homes(facts: Sequence[AnyFact]) -> dict[CallId, CallId]:
    """Of which call each merged one became a part."""
    return {fact.call: fact.into for fact in facts if isinstance(fact, CallMerged)}


def home(call: CallId, merged: dict[CallId, CallId]) -> CallId:
    while call in merged:
        call = merged[call]
    return call


def assert_transfers_told(facts: Sequence[AnyFact]) -> None:
    """Along the way the same was told of transfers as the record says in the end, each once, in its order."""
    merged = homes(facts)
    for at, ended in enumerate(facts):
        if isinstance(ended, CallEnded):
            told = [
                (fact.way, fact.from_, fact.to, fact.at)
                for fact in facts[:at]
                if isinstance(fact, CallTransferred) and home(fact.call, merged) == ended.call
            ]
            assert told == [(one.kind, one.from_, one.to, one.at) for one in ended.record.transfers]


def assert_holds_end(facts: Sequence[AnyFact]) -> None:
    """Nobody is held by one who holds him already, and nobody is taken back who was not held. Nothing after the end."""
    held: set[tuple[CallId, Extension]] = set()
    over: set[CallId] = set()
    for fact in facts:
        assert fact.call not in over
        if isinstance(fact, CallHeld):
            assert (fact.call, fact.extension) not in held
            held.add((fact.call, fact.extension))
        elif isinstance(fact, CallResumed):
            held.remove((fact.call, fact.extension))
        elif isinstance(fact, CallEnded | CallMerged):
            over.add(fact.call)
