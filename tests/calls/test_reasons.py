"""Each fact says why: the event that brought it about, and the rule."""

from __future__ import annotations

import pytest

from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact
from amibridge.calls.reasons import because
from amibridge.store.codec import FACT_TYPES
from tests.calls.truth import events_of
from tests.corpus import TRACES


def reasons(stack: str, kind: str) -> list[tuple[AnyFact, str]]:
    trace = next(trace for trace in TRACES if (trace.stack, trace.kind) == (stack, kind))
    board = Board("pbx")
    return [(fact, because(fact, event)) for event in events_of(trace.path) for fact in board.apply(event)]


def test_a_call_that_a_phone_refused() -> None:
    assert [reason for _, reason in reasons("asterisk22", "e_inbound_busy")] == [
        "Newchannel of PJSIP/trunk-00000011: a line of ours was called from outside",
        "VarSet of PJSIP/trunk-00000011: Asterisk names the file it records to",
        "Hangup of PJSIP/trunk-00000011: the outside party has left, nobody talked, busy, ended by the system",
    ]


@pytest.mark.slow
def test_every_kind_of_fact_has_its_reason() -> None:
    told = [pair for trace in TRACES if trace.path.suffix == ".ami" for pair in reasons(trace.stack, trace.kind)]
    assert {type(fact) for fact, _ in told} == set(FACT_TYPES.values())
    assert all(": " in reason and "{" not in reason for _, reason in told)
