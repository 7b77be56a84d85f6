"""The Hangups of one instant come in any order: a verdict waits for the one that says why, and not for long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from amibridge.ami.events import AmiEvent, Hangup, Tick
from amibridge.calls.board import Board
from amibridge.calls.board import replay as facts_of
from amibridge.calls.facts import CallEnded
from tests.calls.truth import events_of
from tests.corpus import TRACES

DECLINED = events_of(next(one.path for one in TRACES if str(one) == "asterisk22/e2_inbound_agent_declines"))
CONGESTION = 34
"""What Asterisk tells a caller whose call was declined, if it comes to that first."""


def hangups() -> tuple[Hangup, Hangup]:
    """Of the caller, and of the phone that declined."""
    caller, phone = sorted((one for one in DECLINED if isinstance(one, Hangup)), key=lambda one: one.uniqueid)
    return replace(caller, cause=CONGESTION), phone


def before() -> list[AmiEvent]:
    return [one for one in DECLINED if not isinstance(one, Hangup)]


def test_the_callers_hangup_first() -> None:
    caller, phone = hangups()
    board = Board("pbx")
    assert not [one for one in facts_of(board, [*before(), caller]) if isinstance(one, CallEnded)]
    [ended] = [one for one in board.apply(replace(phone, at=caller.at)) if isinstance(one, CallEnded)]
    assert (ended.record.outcome, ended.record.reason, ended.record.hangup_by) == ("missed", "declined", "operator")
    assert ended.at == ended.record.ended_at == caller.at


def test_a_hangup_that_never_comes_is_waited_for_an_instant() -> None:
    caller, _ = hangups()
    board = Board("pbx")
    facts = facts_of(board, [*before(), caller, Tick(caller.at + timedelta(milliseconds=500))])
    assert not [one for one in facts if isinstance(one, CallEnded)]
    [ended] = [one for one in board.apply(Tick(caller.at + timedelta(seconds=2))) if isinstance(one, CallEnded)]
    assert (ended.record.outcome, ended.record.reason) == ("missed", "no_answer")
    assert ended.at == ended.record.ended_at == caller.at
    assert board.live_calls() == []
