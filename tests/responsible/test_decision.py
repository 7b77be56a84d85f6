"""Who should take a call, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.enterprises import Fallback, Operator
from amibridge.responsible.answer import Answer, Because, Nobody, Verdict, Why
from amibridge.responsible.decision import Known, decide
from amibridge.responsible.presence import HOLDS_FOR
from amibridge.retailcrm.users import UserStatus
from tests.responsible.people import (
    ANNA,
    BORIS,
    NOW,
    STRANGER,
    customer,
    known,
    presence,
    romashka,
    status,
    told,
)

NONE, LAST_CALL = Fallback.NONE, Fallback.LAST_CALL


def said(verdict: Verdict) -> tuple[str | None, str]:
    answer = Answer(verdict)
    return answer.extension, answer.reason


@pytest.mark.parametrize(
    ("facts", "fallback", "wanted"),
    [
        # the mirror, the CRM's own answer, and which of them outweighs the other
        (known(customer(ANNA)), NONE, ("101", "responsible")),
        (known(None, told(ANNA, "101")), NONE, ("101", "responsible")),
        (known(customer(ANNA), told(BORIS, "102", "Иван")), NONE, ("102", "responsible")),
        (known(customer(ANNA), told()), NONE, ("101", "responsible")),
        # who is nobody's customer
        (known(), NONE, (None, "not_told")),
        (known(customer(None)), NONE, (None, "not_told")),
        (known(None, told()), NONE, (None, "unknown_customer")),
        (known(None, told(name="Иван")), NONE, (None, "no_manager")),
        (known(customer(None), told()), NONE, (None, "no_manager")),
        # whose extension it is: the file's word, then the CRM's code, if it is one of ours and nobody else's
        (known(None, told(ANNA)), NONE, ("101", "responsible")),
        (known(None, told(ANNA, "102")), NONE, ("101", "responsible")),
        (known(None, told(STRANGER, "103")), NONE, ("103", "responsible")),
        (known(None, told(STRANGER, "105")), NONE, ("105", "responsible")),
        (known(None, told(STRANGER, "101")), NONE, (None, "no_extension")),
        (known(None, told(STRANGER)), NONE, (None, "no_extension")),
        (known(customer(STRANGER)), NONE, (None, "no_extension")),
        # what people enter as a code must not make us dial just anything
        (known(None, told(STRANGER, "89161112233")), NONE, (None, "no_extension")),
        (known(None, told(STRANGER, "101&SIP/x")), NONE, (None, "no_extension")),
        (known(None, told(STRANGER, "${SHELL(x)}")), NONE, (None, "no_extension")),
        (known(None, told(STRANGER, "")), NONE, (None, "no_extension")),
        # the last call, for whom nobody looks after
        (known(None, told(), "102"), NONE, (None, "unknown_customer")),
        (known(None, told(), "102"), LAST_CALL, ("102", "last_call")),
        (known(None, None, "101", "102"), LAST_CALL, ("102", "last_call")),
        (known(None, told(), "102", "89160000077"), LAST_CALL, ("102", "last_call")),
        (known(None, told(), "89160000077"), LAST_CALL, (None, "unknown_customer")),
        (known(customer(STRANGER), None, "102"), LAST_CALL, ("102", "last_call")),
        (known(customer(ANNA), told(), "102"), LAST_CALL, ("101", "responsible")),
    ],
)
def test_who(facts: Known, fallback: Fallback, wanted: tuple[str | None, str]) -> None:
    assert said(decide(facts, romashka(fallback=fallback), presence(), NOW)) == wanted


@pytest.mark.parametrize("how", [UserStatus.BUSY, UserStatus.DINNER, UserStatus.BREAK])
@pytest.mark.parametrize("fallback", Fallback)
def test_who_is_not_free_is_not_rung_and_not_replaced(how: UserStatus, fallback: Fallback) -> None:
    at_dinner = presence(status(ANNA, how), status(BORIS, UserStatus.FREE))
    facts = known(customer(ANNA), told(ANNA, "101"), "102")
    assert said(decide(facts, romashka(fallback=fallback), at_dinner, NOW)) == (None, how.value)


def test_who_talked_last_is_asked_for_his_status_too() -> None:
    facts, ours = known(None, told(), "102"), romashka(fallback=LAST_CALL)
    assert said(decide(facts, ours, presence(status(BORIS, UserStatus.BREAK)), NOW)) == (None, "break")
    assert said(decide(facts, ours, presence(status(ANNA, UserStatus.BREAK)), NOW)) == ("102", "last_call")


def test_an_operator_without_a_user_is_known_by_his_code() -> None:
    facts = known(None, told(STRANGER, "105"))
    assert said(decide(facts, romashka(), presence(status(STRANGER, UserStatus.DINNER)), NOW)) == (None, "dinner")
    last = known(None, told(), "105")
    away = presence(status(STRANGER, UserStatus.DINNER, "105"))
    assert said(decide(last, romashka(fallback=LAST_CALL), away, NOW)) == (None, "dinner")


def test_an_old_status_says_nothing() -> None:
    facts = known(customer(ANNA))
    for age, wanted in (
        (HOLDS_FOR - timedelta(seconds=1), (None, "dinner")),
        (HOLDS_FOR, ("101", "responsible")),
    ):
        at_dinner = presence(status(ANNA, UserStatus.DINNER, at=NOW - age))
        assert said(decide(facts, romashka(), at_dinner, NOW)) == wanted


def test_what_is_told_counts_and_what_was_kept_only_where_nothing_is() -> None:
    dinner = status(ANNA, UserStatus.DINNER, at=NOW - timedelta(hours=1))
    back = status(ANNA, UserStatus.FREE, at=NOW - timedelta(minutes=1))
    told_before_it_was_read, put_right = presence(back), presence(back, dinner)
    told_before_it_was_read.recall(dinner)
    for stands, wanted in ((told_before_it_was_read, "101"), (put_right, None)):
        assert said(decide(known(customer(ANNA)), romashka(), stands, NOW))[0] == wanted


def test_of_several_extensions_of_one_user_the_crm_may_choose() -> None:
    ours, more = romashka(), Extension("109")
    both = replace(ours, operators={**ours.operators, more: Operator(more, ANNA)})
    assert said(decide(known(None, told(ANNA, "109")), both, presence(), NOW))[0] == "109"
    assert said(decide(known(None, told(ANNA, "110")), both, presence(), NOW))[0] == "101"


def test_a_code_counts_by_what_the_hosts_call_an_extension() -> None:
    ours = romashka()
    long = replace(ours, hosts=(replace(ours.hosts[0], numbering=Numbering(r"^\d{6}$")),))
    assert said(decide(known(None, told(STRANGER, "200101")), long, presence(), NOW))[0] == "200101"
    assert said(decide(known(None, told(STRANGER, "200101")), ours, presence(), NOW))[0] is None


def test_the_answer_is_one_of_two() -> None:
    verdict = decide(known(customer(ANNA)), romashka(), presence(), NOW)
    assert Answer(verdict).operator == "Анна"
    assert Answer(Nobody(Why.BUSY)).operator is None
    assert {one.value for one in Because} & {one.value for one in Why} == set()
