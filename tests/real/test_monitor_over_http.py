"""Listening in, over HTTP or by codes: who hears whom, by what the phones heard; and that nobody is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.delivery.waiting import until
from tests.real.asterisk import BRIDGE, HEARS, RINGS
from tests.real.bridged import Bridge, bridging
from tests.real.office import ANNA, CUSTOMER, Office, hangs_up, moment
from tests.real.sound import recorded, tones_in
from tests.real.talk import Talk

pytestmark = pytest.mark.postgres

LOCAL = "74951110015"
"""A line on which Anna's phone is rung through a Local channel that stays."""

CUSTOMERS, ANNAS, BOSSES, OTHERS = 450, 700, 1000, 1350
"""What each says, in Hz."""

BOTH = {CUSTOMERS, ANNAS}

IS_HEARD_BY = {"listen": (), "whisper": ("anna",), "barge": ("anna", "customer")}


async def conversation(office: Office, bridge: Bridge, line: str = ANNA) -> tuple[Talk, Talk]:
    customer, anna = await office.talking(line)
    await until(lambda: bridge.conversations("101") != [])
    customer.say(CUSTOMERS)
    anna.say(ANNAS)
    return customer, anna


async def joins(boss: Talk) -> Talk:
    """The supervisor's phone was taken, and hears."""
    boss.say(BOSSES)
    async with asyncio.timeout(20):
        while not await boss.hears(10) >= BOTH:
            pass
    return boss


async def assert_heard(mode: str, customer: Talk, anna: Talk, boss: Talk) -> None:
    assert await boss.hears() == BOTH
    for name, talk, other in (("customer", customer, ANNAS), ("anna", anna, CUSTOMERS)):
        assert await talk.hears() == {other} | ({BOSSES} if name in IS_HEARD_BY[mode] else set()), name


async def assert_told_as_ever(office: Office, bridge: Bridge, customer: Talk, anna: Talk) -> None:
    """One call, in which nobody but Anna is credited, and no other."""
    await until(lambda: not office.ear.board.listens_in("104"))  # type: ignore[arg-type]
    [row] = await bridge.calls()
    assert (row["direction"], list(row["operators"])) == ("incoming", ["101"])
    assert await bridge.pool.fetchval("SELECT count(*) FROM live_calls") == 0
    await office.incoming(customer, anna, hangup_by="customer")


@pytest.mark.parametrize(("line", "way"), [(ANNA, "phone"), (LOCAL, "local")], ids=["phones", "locals"])
@pytest.mark.parametrize("mode", IS_HEARD_BY)
async def test_who_hears_whom(office: Office, pool: asyncpg.Pool, mode: str, line: str, way: str) -> None:
    async with bridging(pool, office.asterisk, way) as bridge:
        customer, anna = await conversation(office, bridge, line)
        answer = await bridge.monitor(mode)
        [talk] = bridge.conversations("101")
        assert (answer.status, answer.json["call"], answer.json["target_channel"]) == (200, talk.call, talk.channel)
        boss = await office.called("104")
        assert boss.shown == (answer.json["action_name"], "101")
        boss.answer()
        await joins(boss)
        await assert_heard(mode, customer, anna, boss)
        await hangs_up(customer, anna)
        await boss.is_over()  # by itself: there is nothing to hear any more
        await assert_told_as_ever(office, bridge, customer, anna)


@pytest.mark.parametrize(("code", "mode"), [("09", "listen"), ("01", "whisper"), ("02", "barge")])
async def test_by_a_code_that_a_phone_dials(office: Office, pool: asyncpg.Pool, code: str, mode: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        boss = office.phones["104"].call(f"{code}101")
        await boss.is_answered()
        await joins(boss)
        await assert_heard(mode, customer, anna, boss)
        assert (await bridge.monitor("09")).json["error"] == "already_listening"
        await hangs_up(boss)
        await hangs_up(customer, anna)
        await assert_told_as_ever(office, bridge, customer, anna)


@pytest.mark.parametrize("way", ["phone", "local"])
async def test_a_supervisor_who_declines_is_nobodys_call(office: Office, pool: asyncpg.Pool, way: str) -> None:
    async with bridging(pool, office.asterisk, way) as bridge:
        customer, anna = await conversation(office, bridge)
        await bridge.monitor("09")
        boss = await office.called("104")
        await until(lambda: office.ear.board.listens_in("104"))  # type: ignore[arg-type]
        assert (await bridge.monitor("02")).json["error"] == "already_listening"
        boss.refuse()
        await hangs_up(customer, anna)
        await assert_told_as_ever(office, bridge, customer, anna)


async def test_he_leaves_and_they_talk_on(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        one, two = await asyncio.gather(*(bridge.monitor("02") for _ in range(2)))
        assert (one.status, one.json) == (200, two.json)
        boss = await joins(await office.takes("104"))
        assert bridge.conversations("104") == []
        assert (await bridge.monitor("09", "104", "104")).json["error"] == "himself"
        await hangs_up(boss)
        assert (await customer.hears(), await anna.hears()) == ({ANNAS}, {CUSTOMERS})
        await hangs_up(customer, anna)
        await assert_told_as_ever(office, bridge, customer, anna)
    assert len(office.phones["104"].talks) == 1


async def test_of_two_conversations_that_one_is_heard(office: Office, pool: asyncpg.Pool) -> None:
    """Both are on channels of Anna's phone, so by the beginning of their names nobody could tell."""
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        [first] = bridge.conversations("101")
        second = office.phones["101"].call(CUSTOMER)
        other = await office.takes("trunk")
        await until(lambda: len(bridge.conversations("101")) == 2)
        second.say(OTHERS)
        assert (await bridge.monitor("09")).json["error"] == "several_calls"
        assert (await bridge.monitor("09", call=first.call)).json["target_channel"] == first.channel
        boss = await joins(await office.takes("104"))
        assert await boss.hears() == BOTH
        await hangs_up(customer, anna)
        await boss.is_over()
        assert not other.ended.is_set()
        await hangs_up(other, second)
    await office.records(2)


async def test_the_customer_is_handed_on_and_it_is_over(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        await bridge.monitor("01")
        boss = await joins(await office.takes("104"))
        await bridge.transfer("blind", "101", "102")
        boris = await office.takes("102")
        await anna.is_over()
        await boss.is_over()
        await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["listen", "whisper"])
async def test_in_a_conference_room(office: Office, pool: asyncpg.Pool, mode: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer("74951110010")
        await customer.is_answered()
        anna = office.phones["101"].call("800")
        await anna.is_answered()
        await until(lambda: bridge.conversations("101") != [])
        customer.say(CUSTOMERS)
        anna.say(ANNAS)
        assert (await bridge.monitor("barge")).json["error"] == "not_two"  # Anna alone would hear it
        assert (await bridge.monitor(mode)).status == 200
        boss = await joins(await office.takes("104"))
        await assert_heard(mode, customer, anna, boss)
        await hangs_up(anna, boss)
        await hangs_up(customer)
    await office.records()


async def test_a_muted_phone_that_sends_nothing_is_let_go_as_well(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        await bridge.monitor("09")
        boss = await office.takes("104")
        assert await boss.hears() == BOTH
        await hangs_up(customer, anna)
        await boss.is_over()
        await assert_told_as_ever(office, bridge, customer, anna)


@pytest.mark.parametrize("mode", IS_HEARD_BY)
async def test_the_recording_of_the_call_holds_the_two_alone(office: Office, pool: asyncpg.Pool, mode: str) -> None:
    """Also where the supervisor was heard: Asterisk mixes him in after it has recorded."""
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await conversation(office, bridge)
        await bridge.monitor(mode)
        boss = await joins(await office.takes("104"))
        await boss.hears(100)
        await hangs_up(customer, anna)
        await boss.is_over()
        [row] = await bridge.calls()
    [path] = row["recordings"]
    sounds = await asyncio.to_thread(recorded, Path(path))
    assert tones_in(sounds[-80:-20]) == BOTH
    await office.records()


async def test_what_cannot_be_rings_nobody(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        assert (await bridge.monitor("09")).json["error"] == "no_call"
        anna = office.phones["101"].call("104")
        boss = await office.takes("104")
        await until(lambda: bridge.conversations("101") != [])
        assert (await bridge.monitor("09")).json["error"] == "in_that_call"
        for asked, error in (
            ({"target": "10"}, "no_call"),
            ({"target": "101-"}, "unknown_extension"),
            ({"target": "101,bqw"}, "unknown_extension"),
            ({"from_": "102"}, "not_a_supervisor"),
            ({"from_": "104&PJSIP/102"}, "unknown_extension"),
            ({"target": "101\r\nAction: Hangup"}, "unknown_extension"),
        ):
            assert (await bridge.monitor("09", **asked)).json["error"] == error
        await hangs_up(anna, boss)
    assert len(office.phones["104"].talks) == 1
    await office.records()


@pytest.mark.parametrize("account", [BRIDGE, RINGS])
async def test_the_right_to_call_is_enough(office: Office, pool: asyncpg.Pool, account: str) -> None:
    async with bridging(pool, office.asterisk, account=account) as bridge:
        customer, anna = await conversation(office, bridge)
        assert (await bridge.monitor("02")).status == 200
        boss = await joins(await office.takes("104"))
        await hangs_up(customer, anna)
        await boss.is_over()
        await assert_told_as_ever(office, bridge, customer, anna)


async def test_an_account_that_may_not_is_an_error_that_says_so(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk, account=HEARS) as bridge:
        customer, anna = await conversation(office, bridge)
        with capture_logs() as lines:
            answer = await bridge.monitor("09")
        await moment()
        await hangs_up(customer, anna)
    assert (answer.status, answer.json) == (500, {"detail": "Monitoring failed: pbx: Permission denied"})
    assert [line["advice"] for line in lines if line["event"] == "monitoring_not_begun"] == [
        "`write` of the AMI account needs originate"
    ]
    await office.incoming(customer, anna, hangup_by="customer")
