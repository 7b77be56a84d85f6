"""What is said of a host: one line per thing that happened, and every fact into the queue."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeGuard

import pytest
import structlog
from structlog.testing import capture_logs

from amibridge import log
from amibridge.ami.events import AmiEvent
from amibridge.ami.session import Reply, Session
from amibridge.ami.wire import Framer
from amibridge.calls.board import Board, replay
from amibridge.calls.facts import AnyFact, CallEnded, CallMerged, CallStarted, FactKey, RecordingStarted
from amibridge.calls.record import CallId, Direction
from amibridge.calls.telling import Anomaly, AnomalyKind
from amibridge.runtime.voice import LONGEST_TRACE, MOST_ANOMALIES, SPELL, Voice
from amibridge.store.recorder import FactQueue, QueueFull
from tests.calls.truth import events_of, read_bytes, truths
from tests.corpus import TRACES
from tests.runtime.following import host_at, keys, taken_from, trace

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOST = host_at(("pbx.example", 5038), name="pbx1")


def facts_of(kind: str) -> list[AnyFact]:
    return replay(Board("pbx1"), events_of(trace(kind).path))


def lines_of(facts: list[AnyFact]) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        Voice(HOST, FactQueue()).say(facts, NOW)
    return [dict(line) for line in lines]


@cache
def everything() -> list[AnyFact]:
    """What is said of all recorded calls but the two traces with hundreds of them."""
    traces = [one for one in TRACES if one.kind not in ("z3_load_readall", "y_callerid_formats")]
    return [fact for one in traces for fact in replay(Board("pbx1"), events_of(one.path))]


class TestLines:
    def test_every_fact_is_one_line_with_its_call_its_host_and_its_enterprise(self) -> None:
        assert {type(fact) for fact in everything()} >= {CallStarted, CallMerged, CallEnded, RecordingStarted}
        lines = lines_of(everything())
        assert [line["call"] for line in lines] == [fact.call for fact in everything()]
        assert {(line["enterprise"], line["host"]) for line in lines} == {("0123", "pbx1")}

    def test_what_matters_to_a_company_is_info_and_the_rest_is_debug(self) -> None:
        levels = {(line["event"], line["log_level"]) for line in lines_of(everything())}
        assert levels == {
            ("call_incoming", "info"),
            ("call_outgoing", "info"),
            ("call_internal", "info"),
            ("call_answered", "info"),
            ("call_ended", "info"),
            ("call_merged", "info"),
            ("call_transferred", "info"),
            ("call_held", "debug"),
            ("call_resumed", "debug"),
            ("operator_rang", "debug"),
            ("customer_rang", "debug"),
            ("operator_stopped", "debug"),
            ("operator_joined", "debug"),
            ("operator_left", "debug"),
            ("recording_started", "debug"),
        }

    def test_a_call_from_its_first_line_to_its_last(self) -> None:
        lines = [line for line in lines_of(facts_of("a")) if line["log_level"] == "info"]
        [started, answered, ended] = lines
        [told] = truths(trace("a").truth)
        assert (started["event"], started["number"], started["line"]) == (
            "call_incoming",
            told["external_number"],
            told["did"],
        )
        assert "operator" not in started
        assert (answered["event"], answered["operator"]) == ("call_answered", told["answered_by"])
        assert (ended["event"], ended["outcome"], ended["operator"]) == ("call_ended", "answered", told["answered_by"])
        assert ended["talked"] == pytest.approx(told["talk_s"], abs=0.3)
        assert not {"reason", "complete"} & ended.keys()

    def test_an_account_of_a_call_that_is_not_whole_says_so(self) -> None:
        facts = facts_of("a")
        [end] = [fact for fact in facts if isinstance(fact, CallEnded)]
        [line] = lines_of([replace(end, record=replace(end.record, complete=False))])
        assert line["complete"] is False

    def test_a_missed_call_says_why(self) -> None:
        assert (lines_of(facts_of("d"))[-1]["outcome"], lines_of(facts_of("d"))[-1]["reason"]) == (
            "missed",
            "abandoned",
        )

    def test_an_outgoing_call_names_who_calls(self) -> None:
        [line] = [line for line in lines_of(facts_of("k")) if line["event"] == "call_outgoing"]
        assert line["operator"] == "101"

    def test_what_was_not_understood_is_a_warning_with_its_call(self) -> None:
        with capture_logs() as lines:
            Voice(HOST, FactQueue()).wonder([Anomaly(NOW, CallId("pbx1:1.1"), "call from over to talking")], NOW, list)
        assert [(line["event"], line["log_level"], line["call"], line["change"]) for line in lines] == [
            ("call_change_not_understood", "warning", "pbx1:1.1", "call from over to talking")
        ]

    def test_a_call_that_cannot_be_decided_is_asked_about(self) -> None:
        question = "SIP/901 calls as 79161234567: is it a line, or a phone?"
        with capture_logs() as lines:
            Voice(HOST, FactQueue()).wonder(
                [Anomaly(NOW, CallId("pbx1:1.1"), question, AnomalyKind.DIRECTION)], NOW, list
            )
        assert [(line["event"], line["log_level"], line["call"], line["question"]) for line in lines] == [
            ("call_not_decided", "warning", "pbx1:1.1", question)
        ]


class TestQueue:
    def test_what_finds_no_room_is_kept_and_said_first_once_in_the_order_it_was_heard(self) -> None:
        first, second = facts_of("a"), facts_of("d")
        queue = FactQueue(3)
        voice = Voice(HOST, queue)
        with capture_logs() as lines:
            with pytest.raises(QueueFull):
                voice.say(first, NOW)
            assert not voice.has_caught_up()
            with pytest.raises(QueueFull):
                voice.say(second, NOW + timedelta(minutes=1))
            heard = []
            while not voice.has_caught_up():
                heard += taken_from(queue, 1)
            heard += taken_from(queue)
        assert keys([one.fact for one in heard]) == keys([*first, *second])
        assert [one.heard_at for one in heard] == [NOW] * len(first) + [NOW + timedelta(minutes=1)] * len(second)
        assert len(lines) == len(first) + len(second)
        assert voice.has_caught_up()

    def test_nothing_kept_is_caught_up_though_the_queue_is_full(self) -> None:
        queue = FactQueue(1)
        voice = Voice(HOST, queue)
        voice.say(facts_of("a")[:1], NOW)
        assert len(queue) == 1
        assert voice.has_caught_up()

    def test_whose_fact_it_is_goes_with_it(self) -> None:
        queue = FactQueue()
        Voice(HOST, queue).say(facts_of("a")[:1], NOW)
        [one] = taken_from(queue)
        assert (one.enterprise, one.host, one.heard_at) == ("0123", "pbx1", NOW)


def anomaly(number: int, call: str = "pbx1:1.1") -> Anomaly:
    return Anomaly(NOW, CallId(call), f"call from over to talking, {number}")


class TestAnomalies:
    def test_each_is_recorded_with_what_was_heard_of_its_call(self) -> None:
        queue, raw = FactQueue(), read_bytes(trace("v").path)
        messages = Framer().feed(raw)
        calls = list({fact.call: None for fact in facts_of("v")})
        Voice(HOST, queue).wonder([anomaly(1, calls[0]), anomaly(2, calls[1])], NOW, lambda: messages)
        heard = queue.take_anomalies()
        assert [(one.enterprise, one.host, one.anomaly.call) for one in heard] == [
            ("0123", "pbx1", calls[0]), ("0123", "pbx1", calls[1]),
        ]  # fmt: skip
        for one, call in zip(heard, calls, strict=True):
            told = replay(Board("pbx1"), [event for event in Session().receive_data(one.trace) if is_event(event)])
            assert {fact.call for fact in told} == {call}
            assert [fact for fact in facts_of("v") if fact.call == call] == told

    def test_of_a_long_call_the_last_is_kept_in_whole_messages(self) -> None:
        queue = FactQueue()
        messages = [b"Event: VarSet\r\nUniqueid: 1.1\r\nValue: %d" % number for number in range(5000)]
        Voice(HOST, queue).wonder([anomaly(1)], NOW, lambda: messages)
        [one] = queue.take_anomalies()
        assert LONGEST_TRACE - 100 < len(one.trace) <= LONGEST_TRACE
        assert one.trace.endswith(b"Value: 4999\r\n\r\n")
        assert one.trace.startswith(b"Event: ")

    def test_of_a_call_that_nothing_was_heard_of_there_are_no_bytes(self) -> None:
        queue = FactQueue()
        Voice(HOST, queue).wonder([anomaly(1), anomaly(2, "pbx1:"), anomaly(3, "")], NOW, lambda: [b"\xff", b""])
        assert [one.trace for one in queue.take_anomalies()] == [b"", b"", b""]

    def test_of_a_storm_some_are_told_and_the_others_counted(self) -> None:
        queue = FactQueue()
        voice = Voice(HOST, queue)
        with capture_logs() as lines:
            for number in range(1000):
                voice.wonder([anomaly(number)], NOW + timedelta(milliseconds=number), list)
            voice.wonder([anomaly(1000)], NOW + SPELL + timedelta(seconds=1), list)
        heard = queue.take_anomalies()
        assert len(lines) == len(heard) == MOST_ANOMALIES + 1
        assert [one.passed_over for one in heard] == [0] * MOST_ANOMALIES + [1000 - MOST_ANOMALIES]
        assert lines[-1]["passed_over"] == 1000 - MOST_ANOMALIES
        assert all("passed_over" not in line for line in lines[:-1])

    def test_a_queue_that_is_full_of_facts_takes_them(self) -> None:
        queue = FactQueue(0)
        Voice(HOST, queue).wonder([anomaly(1)], NOW, list)
        assert len(queue.take_anomalies()) == 1


def is_event(received: AmiEvent | Reply) -> TypeGuard[AmiEvent]:
    return not isinstance(received, Reply)


@pytest.fixture
def _log_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log_as_it_was")
def test_a_new_log_level_reaches_a_voice_that_speaks_already() -> None:
    """On SIGHUP hosts are not followed anew."""
    before, after = io.StringIO(), io.StringIO()
    log.configure("json", "info", before)
    voice = Voice(HOST, FactQueue())
    fact = RecordingStarted(FactKey("k"), CallId("pbx1:1.1"), NOW, facts_of("a")[0].brief, path="/rec/1.wav")
    voice.say([fact], NOW)
    log.configure("json", "debug", after)
    voice.say([fact], NOW)
    assert before.getvalue() == ""
    assert json.loads(after.getvalue())["event"] == "recording_started"
    assert fact.brief.direction is Direction.INCOMING
