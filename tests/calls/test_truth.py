"""Every recorded trace against what the phones themselves said about it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded, CallMerged, CallStarted
from amibridge.calls.record import CallRecord, Direction
from tests.calls.told import assert_holds_end, assert_transfers_told
from tests.calls.truth import NEVER_SHOWN, events_of, expected, read_bytes, truths
from tests.corpus import TRACES, Trace

TOLERANCE = timedelta(milliseconds=250)
"""Phones and Asterisk see one moment some milliseconds apart; a busy recording machine adds to that."""

LOAD = "z3_load_readall"
"""480 calls at once; its truth has a shape of its own."""


def records_of(trace: Trace) -> list[CallRecord]:
    board = Board("pbx")
    facts = replay(board, events_of(trace.path))
    assert board.take_anomalies() == []
    assert board.live_calls() == []
    return [fact.record for fact in facts if isinstance(fact, CallEnded)]


CALLS = [trace for trace in TRACES if trace.kind != LOAD]
RECORDED = [trace for trace in CALLS if trace.kind != "v_two_calls_same_caller"]
"""Whose truth tells recordings: that of v does not, although its first call has one."""


@pytest.mark.parametrize("trace", CALLS, ids=str)
def test_record_agrees_with_the_phones(trace: Trace) -> None:
    records, truth = records_of(trace), truths(trace.truth)
    assert len(records) == len(truth)
    unknowable = NEVER_SHOWN.get(trace.kind, set())
    for record, told in zip(records, truth, strict=True):
        want, got = expected(told), record.as_json()
        got["transfers"] = [(one["kind"], one["from"], one["to"], one["answered"]) for one in got["transfers"]]
        assert {k: got[k] for k in want.fields if k not in unknowable} == {
            k: v for k, v in want.fields.items() if k not in unknowable
        }
        for name, time in want.times.items():
            if name in unknowable:
                continue
            found = getattr(record, name)
            assert (found is None) == (time is None), name
            assert time is None or abs(found - time) < TOLERANCE, name
        if "talk_seconds" not in unknowable:
            assert got["talk_seconds"] == pytest.approx(want.talk_seconds, abs=0.25)
        until = record.answered_at or record.ended_at
        assert until is not None
        assert record.waited == until - record.started_at


@pytest.mark.parametrize("trace", RECORDED, ids=str)
def test_recording_is_the_one_the_pbx_made(trace: Trace) -> None:
    for record, told in zip(records_of(trace), truths(trace.truth), strict=True):
        assert list(record.recordings) == ([told["recording"]] if told["recording"] else [])


REASONS = {
    "c_inbound_noanswer_timeout": "no_answer",
    "d_inbound_caller_abandons": "abandoned",
    "e_inbound_busy": "busy",
    "e2_inbound_agent_declines": "declined",
    "f_inbound_ivr_abandon": "ivr",
    "j_queue_abandon": "abandoned",
    "l1_outbound_busy": "busy",
    "l2_outbound_noanswer": "no_answer",
    "l4_outbound_agent_cancels": "abandoned",
    "p2_originate_agent_noanswer": "operator_no_answer",
    "p3_originate_customer_noanswer": "no_answer",
}


@pytest.mark.parametrize("trace", [trace for trace in TRACES if trace.kind in REASONS], ids=str)
def test_reason_says_why_nobody_talked(trace: Trace) -> None:
    assert [record.reason for record in records_of(trace)] == [REASONS[trace.kind]]


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_one_verdict_per_call_and_none_without_a_beginning(trace: Trace) -> None:
    facts = replay(Board("pbx"), events_of(trace.path))
    ended = [fact.call for fact in facts if isinstance(fact, CallEnded)]
    merged = [fact.call for fact in facts if isinstance(fact, CallMerged)]
    started = [fact.call for fact in facts if isinstance(fact, CallStarted)]
    assert sorted(ended + merged) == sorted(set(started))
    assert len({fact.key for fact in facts}) == len(facts)
    assert_transfers_told(facts)
    assert_holds_end(facts)


@pytest.mark.slow
@pytest.mark.parametrize("trace", [trace for trace in TRACES if trace.kind == LOAD], ids=str)
def test_load_trace(trace: Trace) -> None:
    """480 calls in 13 s, all from a trunk and out through it again: forwarded calls, each with numbers of its own."""
    told: dict[tuple[str | None, str | None], str] = {
        (caller, callee): disposition for caller, callee, disposition in truths(trace.truth)
    }
    outcomes = {"answered": ("answered", None), "busy": ("missed", "busy"), "cancelled": ("missed", "abandoned")}
    records = records_of(trace)
    assert len(records) == len(told)
    for record in records:
        assert record.direction is Direction.INCOMING
        assert (record.outcome, record.reason) == outcomes[told.pop((record.external_number, record.line))]
        assert record.operators == ((record.line,) if record.outcome == "answered" else ())
    assert told == {}


def test_the_call_id_is_the_first_channel_of_the_host() -> None:
    trace = next(trace for trace in TRACES if trace.kind == "a_inbound_answered_caller_hangup")
    first = read_bytes(Path(trace.path)).partition(b"Event: Newchannel")[2].partition(b"\r\nUniqueid: ")[2]
    [record] = records_of(trace)
    assert record.call_id == "pbx:" + first.partition(b"\r\n")[0].decode()
