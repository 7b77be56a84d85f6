"""A missed call in RetailCRM's words: the same each time, and the same for nothing else; tasks as they are told of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.calls.record import CallId, Outcome
from amibridge.enterprises import EnterpriseId
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.missed_call import MissedCall
from amibridge.retailcrm.tasks import Task, create_task, task, tasks
from tests.delivery.rows import PHONE, record
from tests.retailcrm.contract import assert_allowed
from tests.retailcrm.test_verb_replies import answer
from tests.store.enterprises import romashka

AT = datetime(2026, 3, 10, 12, 0, 40, tzinfo=UTC)
MINSK = ZoneInfo("Europe/Minsk")
WISHES = replace(romashka().missed_calls, performer=40, order_method="phone")
MISSED = MissedCall(
    record("pbx:1", operators=(), outcome=Outcome.MISSED, at=AT),
    PHONE,
    replace(romashka(), missed_calls=WISHES),
    MINSK,
    None,
)


def other(call: str = "pbx:1", **changes: object) -> MissedCall:
    return replace(MISSED, record=replace(MISSED.record, call_id=CallId(call), **changes))  # type: ignore[arg-type]


def test_the_text_names_whom_when_and_on_which_line() -> None:
    assert MISSED.text == f"Пропущенный звонок: {PHONE}, 10.03.2026 15:00:00, 74951110001"
    assert other(line=None).text == f"Пропущенный звонок: {PHONE}, 10.03.2026 15:00:00"


@given(st.text(max_size=200))
def test_whatever_the_line_is_called_the_text_is_one_line_of_words(line: str) -> None:
    text = other(line=line).text
    assert text == " ".join(text.split())
    assert len(text) < 200
    assert_allowed(create_task(other(line=line).task(), "romashka"))


def test_an_order_is_known_by_its_call_and_enterprise_alone() -> None:
    assert MISSED.external_id == other(line="x").external_id
    assert MISSED.external_id == "amibridge-missed-" + MISSED.external_id[-32:]
    neighbour = replace(MISSED, enterprise=replace(MISSED.enterprise, id=EnterpriseId("0124")))
    assert len({MISSED.external_id, other("pbx:2").external_id, neighbour.external_id}) == 3


@pytest.mark.parametrize(("manager", "performer"), [(27, 27), (31, 31), (99, 40), (None, 40)])
def test_the_task_is_for_his_manager_if_that_is_an_operator_of_ours(manager: int | None, performer: int) -> None:
    assert replace(MISSED, customer=Customer(5, manager_id=manager)).task().performer == performer


def test_an_operator_without_a_user_is_nobodys_manager() -> None:
    operators = {who: replace(one, user=None) for who, one in MISSED.enterprise.operators.items()}
    alone = replace(MISSED, enterprise=replace(MISSED.enterprise, operators=operators), customer=Customer(5))
    assert alone.task().performer == 40


def test_the_order_names_him_as_he_was_shown() -> None:
    assert MISSED.order().first_name == PHONE
    assert other(caller_name="Жанна").order().first_name == "Жанна"


class TestTasks:
    def test_a_task_is_read_as_it_is_told(self) -> None:
        told = {"id": "220", "text": "call", "complete": True, "performer": 27, "performerType": "user"}
        found = answer(task(220), task=told).task
        assert found == Task(220, "call", complete=True, performer=27)
        assert answer(tasks(), tasks=[told, {"text": "nobody's"}], pagination={"totalPageCount": 3}).tasks == (found,)

    def test_one_for_a_group_has_nobody_who_is_to_do_it(self) -> None:
        told = {"id": 1, "text": "call", "complete": False, "performer": 5, "performerType": "group"}
        assert answer(task(1), task=told).task.performer is None

    def test_without_an_id_it_is_no_answer(self) -> None:
        with pytest.raises(CrmBroken):
            answer(task(1), task={"text": "call"})
        with pytest.raises(CrmBroken):
            answer(tasks())
