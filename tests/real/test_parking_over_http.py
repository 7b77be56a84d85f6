"""Parking and fetching that other software asks for over HTTP: what the phones did, and what the record says."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import datetime

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import Extension
from tests.delivery.waiting import until
from tests.real.asterisk import HEARS
from tests.real.bridged import Bridge, bridging
from tests.real.office import ANNA, CUSTOMER, Office, hangs_up, moment
from tests.real.test_transfer_over_http import LOCAL, knows

pytestmark = pytest.mark.postgres

QUEUE = "74951110016"


async def rings(bridge: Bridge, extension: str) -> None:
    """The bridge has heard that *extension* rings."""
    await until(lambda: bridge.board.ringing(Extension(extension)) != [])


@pytest.mark.parametrize("line", [ANNA, LOCAL], ids=["phone", "local"])
@pytest.mark.parametrize("way", ["phone", "local"])
async def test_parked_and_fetched(office: Office, pool: asyncpg.Pool, line: str, way: str) -> None:
    async with bridging(pool, office.asterisk, way) as bridge:
        customer, anna = await office.talking(line)
        await knows(bridge)
        parked = await bridge.park("101")
        assert (parked.status, parked.json["space"], parked.json["from_ext"]) == (200, "701", "101"), parked.body
        assert datetime.fromisoformat(parked.json["parked_until"]) > customer.began_at
        await anna.is_over()
        asking = asyncio.create_task(bridge.pickup("102", space="701"))
        boris = await office.takes("102")
        fetched = await asking
        assert (fetched.status, fetched.json["space"], fetched.json["call"]) == (200, "701", parked.json["call"])
        await moment()
        await hangs_up(customer, boris)
        [row] = await bridge.calls()
    assert row["call_id"] == fetched.json["call"]
    await office.incoming(
        customer, anna, operators=["101", "102"], hangup_by="customer", transfers=[("park", "101", "701", True)],
    )  # fmt: skip


@pytest.mark.parametrize("line", [ANNA, LOCAL], ids=["phone", "local"])
@pytest.mark.parametrize("way", ["phone", "local"])
async def test_picked_up(office: Office, pool: asyncpg.Pool, line: str, way: str) -> None:
    async with bridging(pool, office.asterisk, way) as bridge:
        customer = office.customer(line)
        anna = await office.called("101")
        await rings(bridge, "101")
        asking = asyncio.create_task(bridge.pickup("102", target="101"))
        boris = await office.takes("102")
        answer = await asking
        assert (answer.status, answer.json.get("target")) == (200, "101"), answer.body
        await anna.is_over()
        await moment()
        await hangs_up(customer, boris)
        [row] = await bridge.calls()
        told = await pool.fetch("SELECT kind, body ->> 'extension', body ->> 'cause' FROM facts ORDER BY seq")
    assert row["call_id"] == answer.json["call"]
    phones = {tuple(one) for one in told if one["kind"].startswith("operator.") and one["kind"] != "operator.left"}
    assert phones == {
        ("operator.rang", "101", None), ("operator.stopped", "101", "answered_elsewhere"),
        ("operator.joined", "102", None),
    }  # fmt: skip
    await office.incoming(
        customer, anna, outcome="answered", operators=["102"], hangup_by="customer", answered_at=boris.answered_at,
        transfers=[("pickup", "101", "102", True)],
    )  # fmt: skip


async def test_of_a_customer_who_was_called(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.calling()
        await knows(bridge)
        assert (await bridge.park("101")).status == 200
        await anna.is_over()
        asking = asyncio.create_task(bridge.pickup("102", space="701"))
        boris = await office.called("102")
        assert boris.shown[1] == CUSTOMER
        await moment()
        boris.answer()
        assert (await asking).status == 200
        await moment()
        await hangs_up(boris, customer)
    await office.outgoing(
        anna, customer, rang=[], operators=["101", "102"], hangup_by="operator",
        transfers=[("park", "101", "701", True)], ended_at=customer.ended_at,
    )  # fmt: skip


@pytest.mark.parametrize("line", [ANNA, LOCAL], ids=["phone", "local"])
async def test_parked_for_a_second_the_parker_is_called_back(office: Office, pool: asyncpg.Pool, line: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking(line)
        await knows(bridge)
        parked = await bridge.park("101", timeout="1")
        assert parked.status == 200
        await anna.is_over()
        again = await office.takes("101")
        assert (await bridge.pickup("102", space="701")).json["error"] == "not_parked"
        await hangs_up(customer, again)
    await office.incoming(customer, anna, hangup_by="customer", transfers=[("park", "101", "701", True)])


@pytest.mark.parametrize("when", ["before the bridge came", "while it was away"])
async def test_of_who_was_parked_unseen(office: Office, pool: asyncpg.Pool, when: str) -> None:
    async with AsyncExitStack() as stack:

        async def come() -> Bridge:
            return await stack.enter_async_context(bridging(pool, office.asterisk))

        came = await come() if when == "while it was away" else None
        customer, anna = await office.talking()
        if came is not None:
            await knows(came)
            came.cut()
        await office.asks(
            "Park", Channel=office.channel_of("trunk"), TimeoutChannel=office.channel_of("101"), Timeout="60000"
        )
        await anna.is_over()
        bridge = came or await come()
        await until(lambda: bridge.is_up and bridge.board.parked() != [])
        asking = asyncio.create_task(bridge.pickup("102", space="701"))
        boris = await office.takes("102")
        assert (await asking).status == 200
        await moment()
        await hangs_up(customer, boris)
        [row] = await bridge.calls()
    assert (row["operators"][-1:], [one["kind"] for one in json.loads(row["transfers"])]) == (["102"], ["park"])
    await office.incoming(
        customer, anna, operators=["101", "102"], hangup_by="customer", transfers=[("park", "101", "701", True)],
    )  # fmt: skip


async def test_parked_and_gone_before_the_phone_is_taken(office: Office, pool: asyncpg.Pool) -> None:
    """It does not ring on."""
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        parked_at = anna.phone.now()
        assert (await bridge.park("101")).status == 200
        await anna.is_over()
        asking = asyncio.create_task(bridge.pickup("102", space="701"))
        boris = await office.called("102")
        await moment()
        await hangs_up(customer)
        answer = await asking
        assert (answer.status, answer.json["error"]) == (409, "gone_meanwhile")
        await boris.is_over()
    await office.incoming(
        customer, anna, hangup_by="customer", transfers=[("park", "101", "701", False)], talked_until=parked_at
    )


@pytest.mark.parametrize("way", ["phone", "local"])
async def test_taken_by_who_was_called_before_the_fetchers_phone_is(
    office: Office, pool: asyncpg.Pool, way: str
) -> None:
    """It does not ring on."""
    async with bridging(pool, office.asterisk, way) as bridge:
        customer = office.customer(ANNA)
        anna = await office.called("101")
        await rings(bridge, "101")
        asking = asyncio.create_task(bridge.pickup("102", target="101"))
        boris = await office.called("102")
        await moment()
        anna.answer()
        answer = await asking
        assert (answer.status, answer.json["error"]) == (409, "gone_meanwhile")
        await boris.is_over()
        assert not anna.ended.is_set()
        await hangs_up(customer, anna)
        await bridge.calls()
    await office.incoming(customer, anna, hangup_by="customer")


async def test_of_two_who_fetch_one_gets_him(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer(QUEUE)
        anna, boris = await office.called("101"), await office.called("102")
        await rings(bridge, "101")
        asking = [asyncio.create_task(bridge.pickup(one, target="101")) for one in ("103", "104")]
        vera, gleb = await office.called("103"), await office.called("104")
        await moment()
        vera.answer()
        assert sorted([(await one).status for one in asking]) == [200, 409]
        for phone in (anna, boris, gleb):
            await phone.is_over()
        await moment()
        await hangs_up(vera, customer)
    [record] = await office.records()
    assert (record.outcome, record.operators, record.queue) == ("answered", ("103",), "everybody")
    assert [(one.kind, one.from_, one.to, one.answered) for one in record.transfers] == [("pickup", "101", "103", True)]


@pytest.mark.parametrize("why", ["refuses", "is away"])
async def test_whoever_fetches_does_not_come(office: Office, pool: asyncpg.Pool, why: str) -> None:
    """That is no call, and the other goes on."""
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer(ANNA)
        anna = await office.called("101")
        await rings(bridge, "101")
        office.phones["102"].on_call = lambda talk: talk.refuse(486, "Busy Here")
        answer = await bridge.pickup("102" if why == "refuses" else "109", target="101")
        assert (answer.status, answer.json["error"]) == (409, "not_taken")
        assert not anna.ended.is_set()
        anna.answer()
        await moment()
        await hangs_up(customer, anna)
        [row] = await bridge.calls()
        assert await pool.fetchval("SELECT count(*) FROM live_calls") == 0
    assert row["direction"] == "incoming"
    await office.incoming(customer, anna, hangup_by="customer")


async def test_a_colleagues_call_is_picked_up(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        anna = office.phones["101"].call("102")
        boris = await office.called("102")
        await rings(bridge, "102")
        asking = asyncio.create_task(bridge.pickup("103", target="102"))
        vera = await office.takes("103")
        assert (await asking).status == 200
        await boris.is_over()
        await moment()
        await hangs_up(vera, anna)
    await office.internal(
        anna, boris, outcome="answered", operators=["103"], hangup_by="operator", answered_at=vera.answered_at,
        transfers=[("pickup", "102", "103", True)],
    )  # fmt: skip


async def test_what_cannot_be_is_said_and_nothing_rings(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        assert (await bridge.park("101")).json["error"] == "no_call"
        for place in ({"target": "102"}, {"space": "701"}):
            answer = await bridge.pickup("101", **place)
            assert (answer.status, answer.json["error"][:4]) == (404, "not_")
        customer, anna = await office.talking()
        await knows(bridge)
        await bridge.transfer("attended", "101", "102")
        boris = await office.takes("102")
        assert (await bridge.park("101")).json["error"] == "already_consulting"
        assert (await bridge.park("102")).status == 409
        assert (await bridge.transfer("cancel")).status == 200
        await boris.is_over()
        await moment()
        await hangs_up(customer, anna)
    assert (await office.records())[0].operators == ("101",)


@pytest.mark.parametrize("text", ["../701", "701\r\nAction: Hangup", "701&702", "701\0", "${EXTEN}", "7" * 4096])
async def test_what_is_no_place_reaches_no_pbx(office: Office, pool: asyncpg.Pool, text: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        answers = [
            await bridge.park(text), await bridge.park("101", timeout=text), await bridge.pickup(text, space="701"),
            await bridge.pickup("102", space=text), await bridge.pickup("102", target=text),
        ]  # fmt: skip
        assert [answer.status for answer in answers] == [400] * 5
        assert not anna.ended.is_set()
        await hangs_up(customer, anna)
    assert office.phones["102"].talks == {}
    await office.incoming(customer, anna, hangup_by="customer")


async def test_of_several_the_call_is_named(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        anna.hold()
        other = office.phones["101"].call(CUSTOMER)
        second = await office.takes("trunk")
        await until(lambda: len(bridge.conversations("101")) == 2)
        assert (await bridge.park("101")).json["error"] == "several_calls"
        [first] = await pool.fetch("SELECT call_id FROM live_calls WHERE direction = 'incoming'")
        answer = await bridge.park("101", call=first["call_id"])
        assert (answer.status, answer.json["call"]) == (200, first["call_id"])
        await anna.is_over()
        assert not other.ended.is_set()
        await hangs_up(customer)
        await hangs_up(second, other)
    await office.records(2)


@pytest.mark.parametrize("lot", ["nowhere", "small"], ids=["none", "full"])
async def test_where_there_is_no_room_they_talk_on(office: Office, pool: asyncpg.Pool, lot: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        waiting, vera = office.customer("74951110032"), await office.takes("vera")
        await knows(bridge, "vera")
        await office.asks("Setvar", Channel=office.channel_of("vera"), Variable="PARKINGLOT", Value="small")
        assert (await bridge.park("vera")).json["space"] == "731"
        await vera.is_over()
        customer, anna = await office.talking()
        await knows(bridge)
        await office.asks("Setvar", Channel=office.channel_of("101"), Variable="PARKINGLOT", Value=lot)
        answer = await bridge.park("101")
        assert (answer.status, answer.json["detail"]) == (
            500, "Parking failed: pbx: nobody was parked; is the parking lot full, or has he hung up?",
        )  # fmt: skip
        await moment()
        assert not anna.ended.is_set()
        await hangs_up(customer, anna)
        await hangs_up(waiting)
    await office.records(2)


async def test_out_of_a_conference_room_nobody_is_parked(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer("74951110010")
        await customer.is_answered()
        anna = office.phones["101"].call("800")
        await anna.is_answered()
        await knows(bridge)
        await moment()
        answer = await bridge.park("101")
        assert (answer.status, answer.json["detail"]) == (500, "Parking failed: pbx: Park action failed")
        await moment()
        assert not customer.ended.is_set()
        assert not anna.ended.is_set()
        await hangs_up(customer)
        await hangs_up(anna)
    [record] = await office.records()
    assert (record.operators, record.transfers) == (("101",), ())


async def test_a_pbx_without_parking_is_an_error_that_says_so(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        await office.asterisk.cli("module unload res_parking.so")
        try:
            with capture_logs() as lines:
                answer = await bridge.park("101")
        finally:
            await office.asterisk.cli("module load res_parking.so")
        assert (answer.status, answer.json["detail"]) == (
            500, "Parking failed: pbx: Invalid/unknown command: Park. Use Action: ListCommands to show available "
            "commands.",
        )  # fmt: skip
        assert [line["advice"] for line in lines if line["event"] == "parking_not_made"] == [
            "res_parking is not loaded on the PBX: `module load res_parking`"
        ]
        await hangs_up(customer, anna)
    await office.incoming(customer, anna, hangup_by="customer")


async def test_an_account_that_may_not_is_an_error_that_says_so(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk, account=HEARS) as bridge:
        customer, anna = await office.talking()
        second = office.customer(ANNA)
        again = await office.called("101")
        await knows(bridge)
        await rings(bridge, "101")
        with capture_logs() as lines:
            parked, fetched = await bridge.park("101"), await bridge.pickup("102", target="101")
        await hangs_up(second, again)
        await hangs_up(customer, anna)
    assert (parked.status, parked.json) == (500, {"detail": "Parking failed: pbx: Permission denied"})
    assert (fetched.status, fetched.json) == (500, {"detail": "Pickup failed: pbx: Permission denied"})
    assert [line["advice"] for line in lines if line["event"] in ("parking_not_made", "call_not_fetched")] == [
        "`write` of the AMI account needs call", "`write` of the AMI account needs originate",
    ]  # fmt: skip
