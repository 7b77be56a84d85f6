"""CRM and database late, broken or away: the call goes its normal way in time, and the next one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from amibridge.redact import Secret
from amibridge.responsible import desk, silence
from amibridge.retailcrm.users import UserStatus
from amibridge.sandbox.crm_faults import BadGateway, Busy, Cut, Fault, Hang, Nonsense, TelephonyOff, WrongKey
from amibridge.store.db import DATABASE_FAILURES, open_pool
from tests.responsible.asking import AT_ONCE, LOOKUP, Reception, row
from tests.responsible.people import ANNA
from tests.store.proxy import Proxy, proxy

TO_ANNA = ("101", "responsible")


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert not any("9161234567" in str(line) for line in lines), "whose number it is stays out of the log"


@pytest.fixture
async def way(dsn: str, reception: Reception) -> AsyncIterator[Proxy]:
    """The desks' way to the database."""
    async with proxy(dsn) as way, open_pool(way.dsn) as pool:
        reception.office.pool = pool
        yield way


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are as long as ever for who counts them elsewhere, and over at once here."""
    for name in ("FIRST", "LONGEST", "UNTIL_MENDED"):
        monkeypatch.setattr(silence, name, 0.01)


def said(lines: list[Any], *events: str) -> list[str]:
    return [line["event"] for line in lines if line["event"] in events]


async def test_an_answer_that_is_late_is_nobody_and_answers_the_next_call(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, may_answer = reception.office.client, asyncio.Event()
    send = crm.send

    async def late(*asked: Any) -> Any:
        await may_answer.wait()
        return await send(*asked)

    monkeypatch.setattr(crm, "send", late)
    monkeypatch.setattr(desk, "CRM_WITHIN", timedelta(hours=1))
    reception.new_customer()
    async with reception.open(AT_ONCE):
        async with asyncio.timeout(30):
            assert [await reception.who() for _ in range(2)] == [(None, "not_told")] * 2
        may_answer.set()
        await reception.until(TO_ANNA)
    assert reception.lookups() == 1


async def test_a_crm_that_never_answers_holds_no_call_and_is_asked_one_thing_at_a_time(reception: Reception) -> None:
    reception.office.sandbox.faults.give(Hang(), times=None)
    async with reception.open(AT_ONCE):
        for number in range(5):
            assert await reception.who(f"+7916000000{number}") == (None, "not_told")
            await reception.until_looked_up(1)
        assert reception.lookups() == 1


async def test_at_the_stop_nobody_waits_for_it(reception: Reception) -> None:
    reception.office.sandbox.faults.give(Hang(), times=None)
    async with reception.open(AT_ONCE) as desks:
        await reception.who()
        await reception.until_looked_up(1)
    assert (await desks.answer(reception.enterprise.id, "+79160000001")).reason == "not_told"
    assert reception.lookups() == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [BadGateway(), Busy(), Cut(), Nonsense(), WrongKey(), TelephonyOff()],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_crm_that_fails_is_said_once_and_asked_again(
    reception: Reception, lines: list[Any], fault: Fault
) -> None:
    reception.new_customer()
    is_refusal = isinstance(fault, TelephonyOff)
    reception.office.sandbox.faults.give(fault, times=3, path=LOOKUP)
    async with reception.open():
        await reception.until(TO_ANNA)
    assert is_refusal or reception.lookups() == 4
    news = ("crm_tells_no_responsible", "crm_tells_responsible_again")
    assert said(lines, *news) == list(news)


async def test_while_it_is_left_alone_the_mirror_answers(reception: Reception, lines: list[Any]) -> None:
    reception.office.sandbox.faults.give(WrongKey(), times=None)
    async with reception.open() as desks:
        assert [await reception.who() for _ in range(3)] == [(None, "not_told")] * 3
        assert reception.lookups() == 1
        await reception.mirrored(row())
        assert await reception.who() == TO_ANNA
        assert reception.lookups() == 1
        reception.office.sandbox.faults.clear()
        key = replace(reception.enterprise.account, site="another")
        desks.enterprises([replace(reception.enterprise, account=key)])
        assert await reception.who() == TO_ANNA
        await reception.until_looked_up(2)
    assert said(lines, "crm_tells_no_responsible") == ["crm_tells_no_responsible"]


async def test_a_flood_of_strangers_is_looked_up_in_part(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MOST_LOOKUPS", 3)
    read: list[str] = []

    async def away(_: object, __: object, phone: str, **___: object) -> None:
        read.append(phone)
        await asyncio.Event().wait()

    monkeypatch.setattr("amibridge.responsible.desks.customer_of_phone", away)
    monkeypatch.setattr("amibridge.responsible.desks.READERS", 50)
    async with reception.open(AT_ONCE):
        phones = [f"+7916000{number:04}" for number in range(50)]
        answers = await asyncio.gather(*(reception.who(phone) for phone in phones))
        assert set(answers) == {(None, "not_told")}
    assert read == phones[:3]


class TestDatabase:
    async def test_away_it_is_said_once_and_calls_go_their_normal_way(
        self, reception: Reception, way: Proxy, lines: list[Any]
    ) -> None:
        reception.new_customer()
        async with reception.open():
            way.close()
            assert [await reception.who() for _ in range(3)] == [(None, "not_told")] * 3
            way.open = True
            await reception.until(TO_ANNA)
        assert said(lines, "responsible_not_read") == ["responsible_not_read"]

    async def test_silent_it_holds_no_call(self, reception: Reception, way: Proxy) -> None:
        reception.new_customer()
        async with reception.open(AT_ONCE):
            way.silent = True
            assert await reception.who() == (None, "not_told")
            way.silent = False
            await reception.until(TO_ANNA)

    async def test_what_is_remembered_is_answered_without_it(self, reception: Reception, way: Proxy) -> None:
        reception.new_customer()
        async with reception.open():
            assert await reception.who() == TO_ANNA
            way.close()
            assert await reception.who() == TO_ANNA

    async def test_away_at_the_start_statuses_are_read_when_it_is_back(
        self, reception: Reception, way: Proxy, lines: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amibridge.responsible.desks.AGAIN", 0.01)
        reception.new_customer()
        async with reception.open():
            await reception.stands(ANNA, UserStatus.DINNER)
        way.close()
        async with reception.open(AT_ONCE):
            assert await reception.who() == (None, "not_told")
            way.open = True
            await reception.until((None, "dinner"))
        assert said(lines, "operator_statuses_not_read") == ["operator_statuses_not_read"]

    async def test_a_status_that_cannot_be_written_is_not_in_force(self, reception: Reception, way: Proxy) -> None:
        reception.new_customer()
        async with reception.open():
            assert await reception.who() == TO_ANNA
            way.close()
            with pytest.raises(DATABASE_FAILURES):
                await reception.stands(ANNA, UserStatus.DINNER)
            assert await reception.who() == TO_ANNA


async def test_a_defect_of_ours_costs_one_lookup(
    reception: Reception, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    reception.new_customer()
    async with reception.open():
        with monkeypatch.context() as patched:
            patched.setattr("amibridge.responsible.desks.customer_of_phone", broken)
            assert await reception.who() == (None, "not_told")
        assert await reception.who() == TO_ANNA
    assert said(lines, "responsible_failed") == ["responsible_failed"]


async def test_a_key_is_asked_with_as_it_is_now(reception: Reception) -> None:
    wrong = replace(reception.enterprise, account=replace(reception.enterprise.account, api_key=Secret("wrong")))
    reception.new_customer()
    async with reception.open() as desks:
        desks.enterprises([wrong])
        assert await reception.who() == (None, "not_told")
        desks.enterprises([reception.enterprise])
        assert await reception.who() == TO_ANNA
