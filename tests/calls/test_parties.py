"""Who is on a call and where each of them is, at each moment of recorded calls, and what is said of it."""

from __future__ import annotations

import pytest

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallStarted
from tests.calls.truth import events_of
from tests.corpus import TRACES


def moments(kind: str) -> list[str]:
    """What `parties` says of the one call of a trace, each time that changes."""
    [trace] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", kind)]
    board, seen, call = Board("pbx"), [""], None
    for event in events_of(trace.path):
        facts = board.apply(event)
        call = next((fact.call for fact in facts if isinstance(fact, CallStarted)), call)
        if call is not None:
            now = ", ".join(f"{one.extension or one.side} {one.presence}" for one in board.parties(call))
            if now != seen[-1]:
                seen.append(now)
    return seen


@pytest.mark.parametrize(
    ("kind", "in_order"),
    [
        ("p1_originate_answered", ["101 ringing", "101 up", "customer ringing", "101 talking, customer talking", ""]),
        ("p2_originate_agent_noanswer", ["101 ringing", ""]),
        ("p3_originate_customer_noanswer", ["101 ringing", "101 up, customer ringing", ""]),
        ("a_inbound_answered_caller_hangup", ["101 ringing", "customer talking, 101 talking", ""]),
        ("m_internal_answered", ["102 ringing", "101 talking, 102 talking", ""]),
    ],
)  # fmt: skip
def test_the_truth_of_each_leg_while_the_call_goes_on(kind: str, in_order: list[str]) -> None:
    rest = iter(moments(kind))
    assert all(any(wanted in now if wanted else not now for now in rest) for wanted in in_order), moments(kind)


def test_of_a_call_that_does_not_go_on_there_is_nobody() -> None:
    assert moments("a_inbound_answered_caller_hangup")[-1] == ""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("p1_originate_answered", ["operator.rang", "customer.rang", "operator.joined", "call.answered"]),
        ("p2_originate_agent_noanswer", ["operator.rang", "operator.stopped", "call.missed"]),
        ("p3_originate_customer_noanswer", ["operator.rang", "customer.rang", "call.missed"]),
        ("a_inbound_answered_caller_hangup", ["operator.rang", "operator.joined", "call.answered"]),
    ],
)
def test_what_is_said_of_both_legs(kind: str, said: list[str]) -> None:
    [trace] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", kind)]
    facts = [fact.word for fact in replay(Board("pbx"), events_of(trace.path))]
    assert [word for word in facts[1:] if word != "recording.started"][: len(said)] == said
