from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amibridge.calls.facts import AnyFact, CallEnded, OperatorRang, OperatorStopped, StopCause
from amibridge.calls.notices import NoticeKind
from amibridge.delivery import plan as plan_module
from amibridge.delivery.news import say_the_same
from amibridge.delivery.plan import UPLOAD_MAX, Agenda, History, Plan, Popup, Send
from amibridge.store.outbox import Delivery
from tests.delivery.rows import NOON, dialled, ended, history, popup, rang, record, stopped

SECOND = timedelta(seconds=1)


def plan(agenda: Agenda, now: datetime = NOON, popups: int = 6, history_slot: bool = True) -> Plan:
    return agenda.plan(now, popup_slots=popups, history_slot=history_slot)


def ids(send: Send) -> list[int]:
    return [row.id for row in send.rows]


def agenda_of(*rows: Delivery) -> Agenda:
    agenda = Agenda()
    for row in rows:
        agenda.add(row)
    return agenda


def test_phones_that_ring_together_are_one_request() -> None:
    agenda = agenda_of(*(popup(i, rang("pbx:1", str(100 + i))) for i in range(1, 4)))
    (send,) = plan(agenda).sends
    assert isinstance(send, Popup)
    assert ids(send) == [1, 2, 3]


def test_calls_do_not_wait_for_each_other_but_for_slots() -> None:
    agenda = agenda_of(*(popup(i, rang(f"pbx:{i}", "101")) for i in range(1, 9)))
    assert [ids(send) for send in plan(agenda, popups=6).sends] == [[1], [2], [3], [4], [5], [6]]
    assert [ids(send) for send in plan(agenda, popups=1).sends] == [[7]]


def test_the_next_popup_of_a_call_waits_for_the_answer_to_the_one_before() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")))
    (opening,) = plan(agenda).sends
    agenda.add(popup(2, rang("pbx:1", "102")))
    agenda.add(popup(3, stopped("pbx:1", "101")))
    assert plan(agenda).sends == ()
    agenda.settled(opening.rows, reached=True)
    (second,) = plan(agenda).sends
    assert ids(second) == [2]
    agenda.settled(second.rows, reached=True)
    (third,) = plan(agenda).sends
    assert ids(third) == [3]


def test_stops_for_one_reason_are_one_request() -> None:
    agenda = agenda_of(
        popup(1, stopped("pbx:1", "101")),
        popup(2, stopped("pbx:1", "102")),
        popup(3, stopped("pbx:1", "103", cause=StopCause.DECLINED)),
    )
    assert [ids(send) for send in plan(agenda).sends] == [[1, 2]]


def test_history_waits_for_the_popups_of_its_call_only() -> None:
    closing = popup(1, ended(record("pbx:1")))
    agenda = agenda_of(closing, history(2, "pbx:1"), history(3, "pbx:2"))
    first, other = plan(agenda).sends
    assert ids(first) == [1]
    assert ids(other) == [3]
    agenda.settled(other.rows, reached=True)
    assert plan(agenda).sends == ()
    agenda.settled(first.rows, reached=True)
    (own,) = plan(agenda).sends
    assert isinstance(own, History)
    assert ids(own) == [2]


def test_uploads_have_at_most_fifty_calls() -> None:
    agenda = agenda_of(*(history(i, f"pbx:{i}") for i in range(1, 121)))
    sizes = []
    while sends := plan(agenda).sends:
        sizes.append(len(sends[0].rows))
        agenda.settled(sends[0].rows, reached=True)
    assert sizes == [50, 50, 20]


def test_waiting_popups_let_history_through_once_in_two_seconds() -> None:
    rows = [popup(i, rang(f"pbx:{i}", "101")) for i in range(1, 20)]
    agenda = agenda_of(*rows, history(50, "pbx:50"), history(51, "pbx:51"))
    first = plan(agenda, popups=2).sends
    assert [type(send) for send in first] == [Popup, Popup, History]
    agenda.settled(first[2].rows, reached=True)
    agenda.add(history(52, "pbx:52"))
    crowded = plan(agenda, NOON + SECOND, popups=2)
    assert [type(send) for send in crowded.sends] == [Popup, Popup]
    assert crowded.wake_at == NOON + 2 * SECOND
    assert [type(send) for send in plan(agenda, NOON + 2 * SECOND, popups=2).sends] == [Popup, Popup, History]


def test_a_phone_quiet_again_before_the_crm_was_told_is_not_told() -> None:
    agenda = agenda_of(
        popup(1, rang("pbx:1", "101")), popup(2, rang("pbx:1", "102")), popup(3, stopped("pbx:1", "101"))
    )
    now = plan(agenda)
    assert [ids(send) for send in now.sends] == [[2]]
    assert [dropped.row.id for dropped in now.dropped] == [1, 3]


def test_a_call_over_before_anything_was_told_goes_to_history_only() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")), popup(2, ended(record("pbx:1"))), history(3, "pbx:1"))
    now = plan(agenda)
    assert [dropped.row.id for dropped in now.dropped] == [1, 2]
    assert [ids(send) for send in now.sends] == [[3]]


def test_an_outgoing_call_over_before_anything_was_told_goes_to_history_only() -> None:
    verdict = record("pbx:1", operators=(), caller="101")
    agenda = agenda_of(popup(1, dialled("pbx:1", "101")), popup(2, ended(verdict)), history(3, "pbx:1"))
    now = plan(agenda)
    assert [dropped.row.id for dropped in now.dropped] == [1, 2]
    assert [ids(send) for send in now.sends] == [[3]]


def test_the_end_is_told_when_one_of_those_who_talked_was_told_of_the_beginning() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")))
    (opening,) = plan(agenda).sends
    agenda.settled(opening.rows, reached=True)
    agenda.add(popup(2, rang("pbx:1", "102")))
    agenda.add(popup(3, ended(record("pbx:1", operators=("101", "102")))))
    now = plan(agenda)
    assert [dropped.row.id for dropped in now.dropped] == [2]
    assert [ids(send) for send in now.sends] == [[3]]


def test_stale_news_is_dropped_and_its_end_too() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")), popup(2, rang("pbx:2", "102", NOON), at=NOON + SECOND))
    late = plan(agenda, NOON + 20 * SECOND)
    assert [dropped.row.id for dropped in late.dropped] == [1]
    assert [ids(send) for send in late.sends] == [[2]]
    agenda.add(popup(3, stopped("pbx:1", "101"), at=NOON + 20 * SECOND))
    after = plan(agenda, NOON + 20 * SECOND)
    assert [(dropped.row.id, dropped.why) for dropped in after.dropped] == [
        (3, "it would close a popup that never opened")
    ]


def test_thousands_of_stale_popups_are_dropped_in_portions() -> None:
    agenda = agenda_of(*(popup(i, rang(f"pbx:{i}", "101")) for i in range(1, 1201)))
    late = NOON + 60 * SECOND
    portions = []
    while (now := plan(agenda, late)).dropped:
        portions.append((len(now.dropped), now.wake_at))
    assert portions == [(500, late), (500, late), (200, None)]


@pytest.mark.parametrize("late", [0 * SECOND, 60 * SECOND])
def test_a_popup_that_a_killed_run_may_have_told_is_closed_though_it_is_news_no_more(late: timedelta) -> None:
    agenda = agenda_of(replace(popup(1, rang("pbx:1", "101")), perhaps_told=True))
    if late:
        assert [dropped.row.id for dropped in plan(agenda, NOON + late).dropped] == [1]
    agenda.add(popup(2, stopped("pbx:1", "101"), at=NOON + late))
    now = plan(agenda, NOON + late)
    assert [dropped.row.id for dropped in now.dropped] == ([] if late else [1])
    assert [ids(send) for send in now.sends] == [[2]]


def test_a_popup_that_may_have_arrived_is_closed() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")))
    (opening,) = plan(agenda).sends
    agenda.again(opening.rows, NOON + SECOND, tried_at=NOON)
    agenda.add(popup(2, stopped("pbx:1", "101")))
    now = plan(agenda)
    assert [dropped.row.id for dropped in now.dropped] == [1]
    assert [ids(send) for send in now.sends] == [[2]]


def test_after_a_restart_an_unknown_popup_is_closed() -> None:
    assert [ids(send) for send in plan(agenda_of(popup(7, stopped("pbx:1", "101")))).sends] == [[7]]


def test_a_row_put_back_waits_for_its_time_and_stays_first() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")))
    (opening,) = plan(agenda).sends
    (back,) = agenda.again(opening.rows, NOON + SECOND, tried_at=NOON)
    assert (back.attempts, back.due_at) == (1, NOON + SECOND)
    agenda.add(popup(2, rang("pbx:1", "102")))
    waiting = plan(agenda)
    assert waiting.sends == ()
    assert waiting.wake_at == NOON + SECOND
    assert [ids(send) for send in plan(agenda, NOON + SECOND).sends] == [[1, 2]]


def test_a_refused_upload_is_halved_down_to_the_guilty_call() -> None:
    agenda = agenda_of(*(history(i, f"pbx:{i}") for i in range(1, 51)))
    sent: list[int] = []
    requests = 0
    while sends := plan(agenda).sends:
        requests += 1
        rows = sends[0].rows
        if not any(row.id == 33 for row in rows):
            sent += [row.id for row in rows]
            agenda.settled(rows, reached=True)
        elif len(rows) > 1:
            agenda.split(rows)
        else:
            agenda.settled(rows, reached=False)
    assert sorted(sent) == [i for i in range(1, 51) if i != 33]
    assert requests <= 13


def test_a_row_that_keeps_failing_travels_with_ever_fewer_and_then_alone() -> None:
    agenda = agenda_of(history(1, "pbx:1", attempts=4), *(history(i, f"pbx:{i}") for i in range(2, 40)))
    (first,) = plan(agenda).sends
    assert 1 in ids(first)
    assert len(first.rows) == 12
    agenda.settled(first.rows, reached=True)
    agenda.add(history(60, "pbx:60", attempts=20))
    (others,) = plan(agenda).sends
    assert ids(others) == list(range(13, 40))
    agenda.settled(others.rows, reached=True)
    (alone,) = plan(agenda).sends
    assert ids(alone) == [60]


def test_a_finished_call_leaves_nothing_behind() -> None:
    agenda = agenda_of(popup(1, rang("pbx:1", "101")), popup(2, ended(record("pbx:1", operators=("101", "102")))))
    agenda.add(history(3, "pbx:1"))
    while sends := plan(agenda).sends:
        for send in sends:
            agenda.settled(send.rows, reached=True)
    assert not agenda._calls
    assert agenda.popups == agenda.history == 0


def test_calls_that_never_end_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "REMEMBERED_MAX", 10)
    agenda = Agenda()
    for i in range(1, 101):
        agenda.add(popup(i, rang(f"pbx:{i}", "101")))
        agenda.settled(plan(agenda).sends[0].rows, reached=True)
    assert len(agenda._calls) == 10
    agenda.add(popup(101, stopped("pbx:5", "101")))
    agenda.add(popup(102, stopped("pbx:99", "101")))
    assert [ids(send) for send in plan(agenda).sends] == [[101], [102]]


class Lanes(RuleBasedStateMachine):
    """A lane's life: rows come, time passes, slots free, answers arrive or do not, in any order."""

    @initialize()
    def begin(self) -> None:
        self.agenda = Agenda()
        self.now = NOON
        self.next_id = 1
        self.facts: dict[str, list[AnyFact]] = defaultdict(list)
        self.waiting: dict[int, Delivery] = {}
        self.in_flight: list[Send] = []
        self.done: dict[int, str] = {}
        self.over: set[str] = set()

    def _add(self, kind: NoticeKind, fact: AnyFact) -> None:
        at = self.now
        row = popup(self.next_id, fact, at=at) if kind is NoticeKind.POPUP else history(self.next_id, fact.call, at=at)
        self.next_id += 1
        self.waiting[row.id] = row
        self.agenda.add(row)

    @rule(call=st.integers(0, 3), extension=st.sampled_from(["101", "102", "103"]))
    def phone_rings(self, call: int, extension: str) -> None:
        name = f"pbx:{call}"
        ringing = self._ringing(name)
        if name not in self.over and extension not in ringing:
            fact = rang(name, extension, self.now)
            self.facts[name].append(fact)
            self._add(NoticeKind.POPUP, fact)

    @rule(call=st.integers(0, 3), cause=st.sampled_from([StopCause.NO_ANSWER, StopCause.BUSY]))
    def phone_stops(self, call: int, cause: StopCause) -> None:
        name = f"pbx:{call}"
        for extension in sorted(self._ringing(name) if name not in self.over else ())[:1]:
            fact = stopped(name, extension, self.now, cause)
            self.facts[name].append(fact)
            self._add(NoticeKind.POPUP, fact)

    @rule(call=st.integers(0, 3))
    def call_ends(self, call: int) -> None:
        name = f"pbx:{call}"
        if name not in self.over and self.facts[name]:
            self.over.add(name)
            fact = ended(record(name, operators=tuple(sorted(self._ringing(name)))))
            self._add(NoticeKind.POPUP, fact)
            self._add(NoticeKind.HISTORY, fact)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 19.9, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(popups=st.integers(0, 3), history_slot=st.booleans())
    def plan(self, popups: int, history_slot: bool) -> None:
        made = self.agenda.plan(self.now, popup_slots=popups, history_slot=history_slot)
        for dropped in made.dropped:
            self._finish(dropped.row, "dropped")
        flying = {row.call for send in self.in_flight for row in send.rows}
        assert sum(isinstance(send, Popup) for send in made.sends) <= popups
        assert sum(isinstance(send, History) for send in made.sends) <= history_slot
        for send in made.sends:
            calls = [row.call for row in send.rows]
            assert not flying & set(calls), "a call's rows go one request after another"
            flying |= set(calls)
            self._check(send)
            for row in send.rows:
                assert row.due_at <= self.now
                del self.waiting[row.id]
            self.in_flight.append(send)
        assert made.wake_at is None or made.wake_at > self.now

    def _check(self, send: Send) -> None:
        of_call = [row for row in self.waiting.values() if row.call == send.rows[0].call]
        if isinstance(send, History):
            assert len(send.rows) <= UPLOAD_MAX
            assert all(row.kind is NoticeKind.HISTORY for row in of_call), "history goes after its popups"
            return
        popups = sorted((row for row in of_call if row.kind is NoticeKind.POPUP), key=lambda row: row.id)
        assert [row.id for row in popups[: len(send.rows)]] == ids(send), "in id order, none left out"
        for row in send.rows:
            assert row.fresh_until is not None
            assert row.fresh_until > self.now, "stale news is not sent"
            assert row is send.rows[0] or say_the_same(send.rows[0].fact, row.fact)
            if isinstance(row.fact, OperatorRang):
                later = [other.fact for other in popups if other.id > row.id]
                assert not any(isinstance(fact, CallEnded) for fact in later)
                stops = [fact.extension for fact in later if isinstance(fact, OperatorStopped)]
                assert row.fact.extension not in stops, "nobody is told of a phone that is quiet again"

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 5), answer=st.sampled_from(["sent", "dropped", "again", "split"]))
    def answer(self, which: int, answer: str) -> None:
        send = self.in_flight.pop(which % len(self.in_flight))
        if answer == "again":
            for row in self.agenda.again(send.rows, self.now + SECOND, tried_at=self.now):
                self.waiting[row.id] = row
        elif answer == "split" and len(send.rows) > 1 and isinstance(send, History):
            self.agenda.split(send.rows)
            self.waiting.update((row.id, row) for row in send.rows)
        else:
            self.agenda.settled(send.rows, reached=answer == "sent")
            for row in send.rows:
                self._finish(row, answer)

    def _finish(self, row: Delivery, how: str) -> None:
        assert row.id not in self.done, "a row is done once"
        self.done[row.id] = how
        self.waiting.pop(row.id, None)

    def _ringing(self, name: str) -> set[str]:
        ringing: set[str] = set()
        for fact in self.facts[name]:
            if isinstance(fact, OperatorRang):
                ringing.add(fact.extension)
            elif isinstance(fact, OperatorStopped):
                ringing.discard(fact.extension)
        return ringing

    @invariant()
    def rows_are_counted(self) -> None:
        kinds = [row.kind for row in self.waiting.values()]
        assert self.agenda.popups == kinds.count(NoticeKind.POPUP)
        assert self.agenda.history + self._in_groups() == kinds.count(NoticeKind.HISTORY)

    def _in_groups(self) -> int:
        return sum(map(len, self.agenda._groups))

    def teardown(self) -> None:
        """Whatever happened, a CRM that answers from now on gets everything, and no row is forgotten."""
        if not hasattr(self, "agenda"):
            return
        for _ in range(10 * self.next_id + 10):
            self.plan(6, True)
            while self.in_flight:
                self.answer(0, "sent")
            self.now += timedelta(milliseconds=200)
        assert set(self.done) == set(range(1, self.next_id))


Lanes.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestLanes = pytest.mark.slow(Lanes.TestCase)
