"""What is remembered of callers, for how long, of how many."""

from __future__ import annotations

from datetime import timedelta

import pytest

from amibridge.calls.record import Extension
from amibridge.responsible.memory import KEPT, Memory
from amibridge.responsible.silence import FIRST, LONGEST, UNTIL_MENDED, Silence
from amibridge.retailcrm.errors import CrmBusy, CrmError, CrmForbids, CrmLockedOut, CrmNotEnabled, CrmUnreachable
from tests.responsible.people import ANNA, BORIS, customer, known


def test_what_is_old_is_not_answered_from() -> None:
    memory = Memory()
    memory.keep("+1", known(customer()), 100.0)
    assert memory.of("+1", 100.0 + KEPT - 1) is not None
    assert memory.of("+1", 100.0 + KEPT) is None
    assert len(memory) == 0


def test_who_was_asked_for_longest_ago_goes_first() -> None:
    memory = Memory(most=2)
    for phone in ("+1", "+2"):
        memory.keep(phone, known(), 0.0)
    memory.of("+1", 1.0)
    memory.keep("+3", known(), 2.0)
    assert [phone for phone in ("+1", "+2", "+3") if memory.of(phone, 3.0)] == ["+1", "+3"]
    assert len(memory) == 2


def test_a_customer_who_is_another_now_is_forgotten_by_his_id_and_by_his_phones() -> None:
    memory = Memory()
    memory.keep("+1", known(customer(ANNA)), 0.0)  # customer 7
    memory.keep("+2", known(), 0.0)
    memory.keep("+3", known(), 0.0)
    memory.forget({"+2"}, {7})
    assert [phone for phone in ("+1", "+2", "+3") if memory.of(phone, 1.0)] == ["+3"]


def test_who_talked_last_is_noted_where_the_caller_is_known_and_makes_nothing_younger() -> None:
    memory = Memory()
    memory.keep("+1", known(customer(BORIS)), 5.0)
    memory.talked("+1", (Extension("102"),))
    memory.talked("+2", (Extension("102"),))
    found = memory.of("+1", 6.0)
    assert found is not None
    assert (found.known.talked, found.known.customer, found.at) == (("102",), customer(BORIS), 5.0)
    assert memory.of("+2", 6.0) is None


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (CrmUnreachable("away"), FIRST),
        (CrmBusy("busy"), FIRST),
        (CrmBusy("busy", retry_after=timedelta(seconds=30)), 30.0),
        (CrmBusy("busy", retry_after=timedelta(seconds=1)), FIRST),
        (CrmForbids("no"), UNTIL_MENDED),
        (CrmLockedOut("no"), UNTIL_MENDED),
        (CrmNotEnabled("no"), UNTIL_MENDED),
    ],
)
def test_a_crm_that_fails_is_left_alone_for_a_while(error: CrmError, pause: float) -> None:
    silence = Silence()
    assert not silence.lasts(100.0)
    assert silence.failed(error, 100.0)
    assert silence.lasts(100.0 + pause - 0.1)
    assert not silence.lasts(100.0 + pause)


def test_the_pause_grows_to_a_minute_and_is_news_once() -> None:
    silence, at, pauses, news = Silence(), 0.0, [], []
    for _ in range(6):
        news.append(silence.failed(CrmUnreachable("away"), at))
        pause = next(second for second in range(1000) if not silence.lasts(at + second))
        pauses.append(pause)
        at += pause
    assert pauses == [5, 10, 20, 40, LONGEST, LONGEST]
    assert news == [True, *[False] * 5]
    assert (silence.answered(), silence.answered()) == (True, False)
    assert not silence.lasts(at)
