"""Whatever people do on a PBX, in whatever order it is told, and wherever the link breaks: the truth comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amibridge.ami.events import AmiEvent
from amibridge.calls.board import Board
from amibridge.calls.facts import (
    AnyFact,
    CallEnded,
    CallHeld,
    CallMerged,
    CallResumed,
    OperatorRang,
    OperatorStopped,
)
from amibridge.calls.record import CallRecord
from amibridge.calls.telling import AnomalyKind
from tests.calls.told import assert_holds_end, assert_transfers_told
from tests.calls.toy_pbx import ToyPbx, Truth

EXTENSIONS = ("101", "102", "103")


class People(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.board = Board("pbx")
        self.facts: list[AnyFact] = []
        self.pbx = ToyPbx(self.hear, seed)

    def hear(self, event: AmiEvent) -> None:
        self.facts += self.board.apply(event)

    @property
    def records(self) -> list[CallRecord]:
        return [fact.record for fact in self.facts if isinstance(fact, CallEnded)]

    def pick(self, data: st.DataObject, *, ringing: bool | None = None, talking: bool | None = None) -> Truth | None:
        """A live call of that kind."""
        calls = [
            call
            for call in self.pbx.live()
            if ringing in (None, bool(call.ringing)) and talking in (None, call.talking is not None)
        ]
        return data.draw(st.sampled_from(calls)) if calls else None

    @precondition(lambda self: len(self.pbx.live()) < 4)
    @rule()
    def a_customer_calls(self) -> None:
        self.pbx.customer_calls()

    @precondition(lambda self: len(self.pbx.live()) < 4)
    @rule(extension=st.sampled_from(EXTENSIONS))
    def an_operator_calls(self, extension: str) -> None:
        self.pbx.operator_calls(extension)

    @rule(data=st.data(), extension=st.sampled_from(EXTENSIONS))
    def a_phone_rings(self, data: st.DataObject, extension: str) -> None:
        call = self.pick(data, talking=False)
        if call is not None and call.incoming and not call.parked and len(call.ringing) < 3:
            self.pbx.phone_rings(call, extension)

    @rule(data=st.data())
    def somebody_answers(self, data: st.DataObject) -> None:
        call = self.pick(data, talking=False)
        if call is not None and call.ringing:
            self.pbx.operator_answers(call, data.draw(st.sampled_from(call.ringing)))
        elif call is not None and not call.incoming and not call.operators:
            self.pbx.customer_answers(call)

    @rule(data=st.data())
    def somebody_refuses(self, data: st.DataObject) -> None:
        call = self.pick(data, ringing=True)
        if call is not None:
            self.pbx.operator_refuses(call, data.draw(st.sampled_from(call.ringing)))

    @rule(data=st.data(), extension=st.sampled_from(EXTENSIONS))
    def a_colleague_picks_up(self, data: st.DataObject, extension: str) -> None:
        call = self.pick(data, ringing=True)
        if call is not None:
            self.pbx.colleague_picks_up(call, data.draw(st.sampled_from(call.ringing)), extension)

    @rule(data=st.data(), extension=st.sampled_from(EXTENSIONS))
    def an_operator_transfers(self, data: st.DataObject, extension: str) -> None:
        call = self.pick(data, talking=True)
        if call is not None:
            self.pbx.transfers_blind(call, extension)

    @rule(data=st.data(), extension=st.sampled_from(EXTENSIONS))
    def an_operator_asks_first(self, data: st.DataObject, extension: str) -> None:
        call = self.pick(data, talking=True)
        if call is not None and call.talking is not None and call.talking.extension != extension:
            self.pbx.transfers_attended(call, extension)

    @rule(data=st.data())
    def an_operator_holds(self, data: st.DataObject) -> None:
        call = self.pick(data, talking=True)
        if call is not None:
            self.pbx.holds(call)

    @rule(data=st.data())
    def an_operator_takes_back(self, data: st.DataObject) -> None:
        """Or says so, as at the end of a transfer, without having held anybody."""
        call = self.pick(data, talking=True)
        if call is not None:
            self.pbx.takes_back(call)

    @rule(data=st.data())
    def a_customer_holds(self, data: st.DataObject) -> None:
        call = self.pick(data, talking=True)
        if call is not None:
            self.pbx.customer_holds(call)

    @rule(data=st.data())
    def an_operator_parks(self, data: st.DataObject) -> None:
        call = self.pick(data, talking=True)
        if call is not None:
            self.pbx.parks(call)

    @rule(data=st.data(), extension=st.sampled_from(EXTENSIONS))
    def somebody_fetches(self, data: st.DataObject, extension: str) -> None:
        call = self.pick(data, talking=False)
        if call is not None and call.parked:
            self.pbx.fetches(call, extension)

    @rule(data=st.data())
    def a_customer_hangs_up(self, data: st.DataObject) -> None:
        call = self.pick(data)
        if call is not None:
            self.pbx.customer_hangs_up(call)

    @rule(data=st.data())
    def an_operator_hangs_up(self, data: st.DataObject) -> None:
        call = self.pick(data)
        if call is not None and (call.talking or (not call.incoming and not call.operators)):
            self.pbx.operator_hangs_up(call)

    @precondition(lambda self: not self.pbx.deaf)
    @rule()
    def the_link_breaks(self) -> None:
        self.pbx.goes_deaf()

    @precondition(lambda self: self.pbx.deaf)
    @rule()
    def the_link_is_back(self) -> None:
        self.pbx.hears_again()

    @invariant()
    def nothing_is_odd(self) -> None:
        """A call is a riddle only if the link was away for a part of it."""
        anomalies = self.board.take_anomalies()
        assert {one.kind for one in anomalies} <= {AnomalyKind.DIRECTION}
        assert anomalies == [] or not all(call.overheard for call in self.pbx.calls)

    @invariant()
    def each_call_has_one_verdict_and_each_fact_is_said_once(self) -> None:
        ended = [record.call_id for record in self.records]
        assert len(set(ended)) == len(ended)
        assert len({fact.key for fact in self.facts}) == len(self.facts)

    @invariant()
    def along_the_way_the_same_is_told(self) -> None:
        assert_transfers_told(self.facts)
        assert_holds_end(self.facts)

    @invariant()
    def who_was_overheard_is_told_to_the_letter(self) -> None:
        told: dict[str, CallRecord] = {record.call_id: record for record in self.records}
        for call in self.pbx.calls:
            if call.over and call.overheard:
                assert gist(told[call.id]) == truth_of(call)
                assert told[call.id].complete
            if call.overheard:
                assert self.holds_of(call)[: len(call.holds)] == call.holds
                assert len(self.holds_of(call)) - len(call.holds) <= (call.over and call.held)
            elif not call.over:
                assert call.id not in told

    def holds_of(self, call: Truth) -> list[tuple[str, str]]:
        held = [fact for fact in self.facts if isinstance(fact, CallHeld | CallResumed) and fact.call == call.id]
        return [(fact.word, fact.extension) for fact in held]

    def teardown(self) -> None:
        """Everybody goes home: nothing stays open, no popup stays up, and who was there in the gaps is known by it."""
        if not hasattr(self, "pbx"):
            return
        if self.pbx.deaf:
            self.pbx.hears_again()
        for call in self.pbx.live():
            self.pbx.customer_hangs_up(call)
        self.nothing_is_odd()
        self.each_call_has_one_verdict_and_each_fact_is_said_once()
        self.who_was_overheard_is_told_to_the_letter()
        assert self.board.live_calls() == []
        customers = {call.id for call in self.pbx.calls}
        external = [record for record in self.records if record.direction != "internal"]
        assert {record.call_id for record in external} <= customers
        assert all(not record.complete for record in external if not overheard(self.pbx, record))
        self.no_phone_rings_for_ever()

    def no_phone_rings_for_ever(self) -> None:
        rang = sum(isinstance(fact, OperatorRang) and fact.extension != fact.brief.caller for fact in self.facts)
        silent = sum(isinstance(fact, OperatorStopped) for fact in self.facts)
        answered = sum(fact.word == "operator.joined" for fact in self.facts)
        assert rang <= silent + answered + sum(isinstance(fact, CallMerged) for fact in self.facts)


def overheard(pbx: ToyPbx, record: CallRecord) -> bool:
    return next(call for call in pbx.calls if call.id == record.call_id).overheard


def gist(record: CallRecord) -> dict[str, Any]:
    return {
        "direction": str(record.direction),
        "number": record.external_number,
        "answered": record.outcome == "answered",
        "operators": list(record.operators),
        "transfers": [(one.from_, one.to, one.answered) for one in record.transfers],
    }


def truth_of(call: Truth) -> dict[str, Any]:
    return {
        "direction": "incoming" if call.incoming else "outgoing",
        "number": call.customer.number,
        "answered": bool(call.operators),
        "operators": call.operators,
        "transfers": call.transfers,
    }


TestPeople = pytest.mark.slow(People.TestCase)
TestPeople.settings = settings(
    max_examples=60, stateful_step_count=40, phases=(Phase.reuse, Phase.generate, Phase.shrink)
)
