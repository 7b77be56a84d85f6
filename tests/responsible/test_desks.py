"""Who should take a call, from real rows and a real CRM: where the answer comes from, and what makes it another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from amibridge.calls.facts import CallBrief, CallEnded, CallStarted, FactKey
from amibridge.calls.record import CallId, Direction, Extension
from amibridge.enterprises import EnterpriseId, Fallback, HostName, ModuleStanding, ResponsibleMode
from amibridge.responsible.answer import Answer, Nobody, Why
from amibridge.responsible.presence import HOLDS_FOR
from amibridge.retailcrm.users import UserStatus
from amibridge.sandbox.crm_faults import Hang
from amibridge.store.ledger import HeardFact, Ledger
from tests.responsible.asking import SOON, Reception, row
from tests.responsible.people import ANNA, BORIS, PHONE, romashka
from tests.retailcrm.samples import record
from tests.sync.following import NUMBER

OTHER = "+79160000002"
TO_ANNA, TO_BORIS = ("101", "responsible"), ("102", "responsible")


class TestWhereFrom:
    async def test_the_crm_is_asked_once_for_whom_nobody_here_knows(self, reception: Reception) -> None:
        reception.new_customer()
        async with reception.open():
            answers = await asyncio.gather(*(reception.ask("8 (916) 123-45-67") for _ in range(20)))
            assert {answer.extension for answer in answers} == {"101"}
            assert await reception.who() == TO_ANNA
        assert reception.lookups() == 1
        assert answers[0].customer == answers[0].shown == "Иван"
        assert answers[0].operator == "Анна"

    async def test_that_nobody_has_the_number_is_remembered_too(self, reception: Reception) -> None:
        async with reception.open():
            assert [await reception.who() for _ in range(3)] == [(None, "unknown_customer")] * 3
        assert reception.lookups() == 1

    async def test_who_is_mirrored_is_answered_without_waiting_for_the_crm(self, reception: Reception) -> None:
        reception.office.sandbox.faults.give(Hang(), times=None)
        async with reception.open():
            await reception.mirrored(row())
            assert await reception.who() == TO_ANNA

    async def test_what_the_crm_says_outweighs_the_mirror_from_the_next_call_on(self, reception: Reception) -> None:
        reception.new_customer(BORIS)
        async with reception.open():
            await reception.mirrored(row(manager=ANNA))
            assert await reception.who() == TO_ANNA
            await reception.until(TO_BORIS)
        assert reception.lookups() == 1

    async def test_a_customer_of_somebody_with_a_similar_number_is_nobodys(self, reception: Reception) -> None:
        """The sandbox compares the last ten digits."""
        reception.new_customer(ANNA, "Иван", "+3759161234567")
        async with reception.open():
            assert await reception.who() == (None, "unknown_customer")
        assert reception.lookups() == 1

    @pytest.mark.parametrize("phone", ["", "anonymous", "101", "0", "x" * 10_000, "+7916\r\n", "${EXTEN}", "\0"])
    async def test_who_shows_no_number_is_nobody_and_nobody_is_asked(self, reception: Reception, phone: str) -> None:
        async with reception.open():
            assert await reception.who(phone) == (None, "no_number")
        assert reception.lookups() == 0

    async def test_an_enterprise_that_there_is_not(self, reception: Reception) -> None:
        async with reception.open():
            assert await reception.ask(number=EnterpriseId("9999")) == Answer(Nobody(Why.NOT_TOLD))

    async def test_enterprises_do_not_see_each_others_customers(self, reception: Reception) -> None:
        other = replace(romashka(reception.office.url, key="wrong"), id=EnterpriseId("0124"))
        async with reception.open(SOON, reception.enterprise, other):
            await reception.mirrored(row())
            assert await reception.who(number=EnterpriseId("0124")) == (None, "not_told")
            assert await reception.who() == TO_ANNA


class TestWhatChangesIt:
    async def test_a_customer_whom_sync_writes_anew(self, reception: Reception) -> None:
        id = reception.new_customer(ANNA)
        async with reception.open():
            assert await reception.who() == TO_ANNA
            reception.office.edit_customer(id, managerId=BORIS)
            await reception.mirrored(row(id, BORIS))
            assert await reception.who() == TO_BORIS

    async def test_a_customer_who_is_deleted_or_gives_his_phone_away(self, reception: Reception) -> None:
        async with reception.open():
            await reception.mirrored(row(7, ANNA, "Иван"), row(8, BORIS, "Ирина", OTHER))
            await reception.until(TO_ANNA)
            await reception.until(TO_BORIS, OTHER)
            await reception.mirrored(row(8, BORIS, "Ирина", PHONE), deleted=[7])
            assert await reception.who() == TO_BORIS
            assert (await reception.ask(OTHER)).extension is None

    async def test_an_enterprise_that_is_configured_anew(self, reception: Reception) -> None:
        reception.new_customer()
        async with reception.open() as desks:
            assert await reception.who() == TO_ANNA
            ours = reception.enterprise
            [anna, *others] = ours.operators.values()
            moved = replace(anna, extension=Extension("106"))
            desks.enterprises([replace(ours, operators={one.extension: one for one in (moved, *others)})])
            assert await reception.who() == ("106", "responsible")
            desks.enterprises([])
            assert await reception.who() == (None, "not_told")

    @pytest.mark.parametrize("how", [UserStatus.BUSY, UserStatus.DINNER, UserStatus.BREAK])
    async def test_an_operator_who_leaves_and_comes_back(self, reception: Reception, how: UserStatus) -> None:
        reception.new_customer()
        async with reception.open():
            assert await reception.who() == TO_ANNA
            assert await reception.stands(ANNA, how)
            assert await reception.who() == (None, how.value)
            assert await reception.stands(ANNA, UserStatus.FREE)
            assert await reception.who() == TO_ANNA

    async def test_who_is_responsible_is_known_while_he_is_at_dinner(self, reception: Reception) -> None:
        reception.new_customer()
        reception.office.crm.statuses[ANNA] = "dinner"
        async with reception.open():
            await reception.stands(ANNA, UserStatus.DINNER)
            assert await reception.who() == (None, "dinner")
            await reception.stands(ANNA, UserStatus.FREE)
            assert await reception.who() == TO_ANNA
        assert reception.lookups() == 1

    async def test_a_status_survives_a_restart_until_it_is_old(self, reception: Reception) -> None:
        reception.new_customer()
        async with reception.open():
            await reception.stands(ANNA, UserStatus.DINNER)
        async with reception.open():
            assert await reception.who() == (None, "dinner")
            await reception.stands(ANNA, UserStatus.DINNER, told_at=datetime.now(UTC) - HOLDS_FOR)
        async with reception.open():
            assert await reception.who() == TO_ANNA

    async def test_a_clock_that_is_put_right_leaves_nobody_at_dinner(self, reception: Reception) -> None:
        reception.new_customer()
        async with reception.open():
            await reception.stands(ANNA, UserStatus.DINNER, told_at=datetime.now(UTC) + timedelta(days=365))
            assert await reception.who() == TO_ANNA
            await reception.stands(ANNA, UserStatus.DINNER, told_at=datetime.now(UTC) + timedelta(hours=1))
            assert await reception.who() == (None, "dinner")
            await reception.stands(ANNA, UserStatus.FREE)
            assert await reception.who() == TO_ANNA

    async def test_an_enterprise_that_comes_anew_has_nobody_at_dinner(self, reception: Reception) -> None:
        reception.new_customer()
        async with reception.open() as desks:
            await reception.stands(ANNA, UserStatus.DINNER)
            desks.enterprises([])
            desks.enterprises([reception.enterprise])
            assert await reception.who() == TO_ANNA

    async def test_a_status_of_an_enterprise_that_there_is_not_is_refused(self, reception: Reception) -> None:
        async with reception.open():
            assert not await reception.stands(ANNA, UserStatus.DINNER, enterprise=EnterpriseId("9999"))


class TestCalls:
    def started(self, direction: Direction = Direction.INCOMING, phone: str | None = PHONE) -> HeardFact:
        brief = CallBrief(direction, "79161234567", phone, None, "74951110001", None)
        fact = CallStarted(FactKey("k1"), CallId("pbx1:1.1"), datetime.now(UTC), brief)
        return HeardFact(NUMBER, HostName("pbx1"), fact, datetime.now(UTC))

    def ended(self, *operators: str, at: datetime | None = None, id: str = "pbx1:1.1") -> HeardFact:
        talked = record(
            call_id=CallId(id),
            phone=PHONE,
            operators=tuple(Extension(one) for one in operators),
            started_at=at or datetime.now(UTC),
        )
        brief = CallBrief(talked.direction, talked.external_number, PHONE, None, None, None)
        fact = CallEnded(FactKey(f"end of {id}"), talked.call_id, datetime.now(UTC), brief, talked)
        return HeardFact(NUMBER, HostName("pbx1"), fact, datetime.now(UTC))

    async def test_a_caller_is_looked_up_before_the_dialplan_asks(self, reception: Reception) -> None:
        reception.new_customer()
        reception.enterprise = romashka(reception.office.url, mode=ResponsibleMode.ROUTE)
        async with reception.open() as desks:
            desks.hear(self.started())
            await reception.until_looked_up(1)
            assert await reception.who() == TO_ANNA
        assert reception.lookups() == 1

    async def test_where_no_dialplan_asks_the_crm_is_left_alone_until_one_does(self, reception: Reception) -> None:
        async with reception.open() as desks:
            desks.hear(self.started())
            assert await reception.who(OTHER) == (None, "unknown_customer")
            assert reception.lookups() == 1
            desks.hear(self.started(Direction.OUTGOING))
            desks.hear(self.started(phone=None))
            desks.hear(self.started())
            await reception.until_looked_up(2)

    async def test_who_talked_last_takes_the_call_of_nobodys_customer(self, reception: Reception) -> None:
        reception.enterprise = romashka(reception.office.url, fallback=Fallback.LAST_CALL)
        old, ago = datetime.now(UTC) - timedelta(days=91), datetime.now(UTC) - timedelta(days=2)
        ledger = Ledger(reception.office.pool)
        await ledger.record([self.ended("101", at=old, id="pbx1:1.1")])
        async with reception.open():
            assert await reception.who() == (None, "unknown_customer")
        await ledger.record([self.ended("102", at=ago, id="pbx1:1.2"), self.ended(id="pbx1:1.3")])
        async with reception.open() as desks:
            assert await reception.who() == ("102", "last_call")
            desks.hear(self.ended("101"))
            assert await reception.who() == ("101", "last_call")
            desks.hear(self.ended())
            assert await reception.who() == ("101", "last_call")


class TestModuleOff:
    async def test_where_the_module_is_off_or_the_account_paused_the_crm_is_not_asked(
        self, reception: Reception
    ) -> None:
        reception.new_customer()
        off = replace(reception.enterprise, module=ModuleStanding(active=False))
        async with reception.open(SOON, off) as desks:
            assert await reception.who() == (None, "not_told")
            await reception.mirrored(row())
            assert await reception.who() == TO_ANNA
            reception.may_ask = False
            desks.enterprises([reception.enterprise])
            assert await reception.who(OTHER) == (None, "not_told")
            assert reception.lookups() == 0
            reception.may_ask = True
            assert await reception.who(OTHER) == (None, "unknown_customer")
