"""Transfers that other software asks for over HTTP: who talks with whom afterwards, by the phones and by the record."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.runtime import transfer
from tests.delivery.waiting import until
from tests.real.asterisk import HEARS
from tests.real.bridged import Bridge, bridging
from tests.real.office import ANNA, CUSTOMER, MOBILE, Office, hangs_up, moment

pytestmark = pytest.mark.postgres

LOCAL = "74951110015"
"""A line on which Anna's phone is rung through a Local channel that stays."""


async def knows(bridge: Bridge, extension: str = "101") -> None:
    """The bridge has heard that *extension* talks."""
    await until(lambda: bridge.conversations(extension) != [])


@pytest.mark.parametrize("line", [ANNA, LOCAL], ids=["phone", "local"])
async def test_blind(office: Office, pool: asyncpg.Pool, line: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking(line)
        await knows(bridge)
        answer = await bridge.transfer("blind", "101", "102")
        assert (answer.status, answer.json["to_ext"]) == (200, "102")
        boris = await office.takes("102")
        await anna.is_over()
        await hangs_up(customer, boris)
        [row] = await bridge.calls()
    assert row["call_id"] == answer.json["call"]
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_blind_of_a_customer_who_was_called_to_a_mobile(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.calling()
        await knows(bridge)
        assert (await bridge.transfer("blind", "101", MOBILE)).status == 200
        mobile = await office.takes("trunk")
        await anna.is_over()
        await hangs_up(mobile, customer)
    await office.outgoing(
        anna, customer, operators=["101", MOBILE], hangup_by="operator", transfers=[("blind", "101", MOBILE, True)],
        ended_at=customer.ended_at,
    )  # fmt: skip


@pytest.mark.parametrize("by", ["complete", "phone"])
@pytest.mark.parametrize("line", [ANNA, LOCAL], ids=["phone", "local"])
async def test_attended(office: Office, pool: asyncpg.Pool, line: str, by: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking(line)
        await knows(bridge)
        answer = await bridge.transfer("attended", "101", "102")
        assert (answer.status, answer.json["message"]) == (200, "Consultation begun")
        boris = await office.takes("102")
        if by == "complete":
            assert (await bridge.transfer("complete")).status == 200
            await anna.is_over()
        else:
            await hangs_up(anna)
        await moment()
        await hangs_up(customer, boris)
        [row] = await bridge.calls()
    assert row["call_id"] == answer.json["call"]
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("when", ["rings", "talks"])
async def test_cancelled_he_is_back_with_his_customer(office: Office, pool: asyncpg.Pool, when: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        assert (await bridge.transfer("attended", "101", "102")).status == 200
        boris = await (office.called if when == "rings" else office.takes)("102")
        await moment()
        answer = await bridge.transfer("cancel")
        assert (answer.status, answer.json["message"]) == (200, "Transfer cancelled")
        await boris.is_over()
        assert not anna.ended.is_set()
        assert (await bridge.transfer("cancel")).json["error"] == "not_consulting"
        assert (await bridge.transfer("complete")).json["error"] == "not_consulting"
        await moment()
        assert not anna.ended.is_set()
        await hangs_up(anna, customer)
    [record] = await office.records()
    assert (record.outcome, record.operators, record.hangup_by) == ("answered", ("101",), "operator")
    assert not any(one.answered for one in record.transfers)


async def test_two_at_once_are_one_and_what_cannot_be_is_said(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        assert (await bridge.transfer("blind", "101", "102")).json["error"] == "no_call"
        customer, anna = await office.talking()
        await knows(bridge)
        one, two = await asyncio.gather(*(bridge.transfer("attended", "101", "102") for _ in range(2)))
        assert (one.status, one.json) == (200, two.json)
        boris = await office.takes("102")
        for step in ("blind", "attended"):
            assert (await bridge.transfer(step, "101", "103")).json["error"] == "already_consulting"
        for step in ("complete", "cancel"):  # whoever is asked, and whoever waits, has nothing to end
            assert (await bridge.transfer(step, "102")).json["error"] == "not_consulting"
        await hangs_up(anna)
        await moment()
        await hangs_up(customer, boris)
    assert len(office.phones["102"].talks) == 1
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


async def test_nobody_comes_and_he_is_back_with_his_customer(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        office.phones["102"].on_call = lambda talk: talk.refuse(486, "Busy Here")
        await bridge.transfer("attended", "101", "102")
        await office.called("102")
        await until(lambda: [one.consulting for one in bridge.conversations("101")] == [False])
        assert not anna.ended.is_set()
        await hangs_up(customer, anna)
    [record] = await office.records()
    assert (record.outcome, record.operators) == ("answered", ("101",))
    assert not any(one.answered for one in record.transfers)


async def test_a_dialplan_that_lets_nobody_ask_is_told(
    office: Office, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Dial has neither t nor T."""
    monkeypatch.setattr(transfer, "HEARD_WITHIN", timedelta(seconds=1))
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer("74951110032")
        vera = await office.takes("vera")
        await until(lambda: bridge.conversations("vera") != [])
        answer = await bridge.transfer("attended", "vera", "102")
        assert (answer.status, answer.json["detail"]) == (
            500,
            "Transfer failed: pbx: the keys were pressed and nothing came of it; is nobody there, or does Dial not let "
            "this phone transfer (its options t and T)?",
        )  # fmt: skip
        assert not vera.ended.is_set()
        await hangs_up(customer, vera)
    assert office.phones["102"].talks == {}


async def test_of_two_conversations_one_is_named(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        anna.hold()
        other = office.phones["101"].call(CUSTOMER)
        second = await office.takes("trunk")
        await until(lambda: len(bridge.conversations("101")) == 2)
        refused = await bridge.transfer("blind", "101", "102")
        assert (refused.status, refused.json["error"]) == (409, "several_calls")
        calls = await pool.fetch("SELECT call_id FROM live_calls WHERE direction = 'incoming'")
        answer = await bridge.transfer("blind", "101", "102", call=calls[0]["call_id"])
        assert (answer.status, answer.json["call"]) == (200, calls[0]["call_id"])
        boris = await office.takes("102")
        await anna.is_over()
        await hangs_up(customer, boris)
        await hangs_up(second, other)
    await office.records(2)


@pytest.mark.parametrize(
    "to", ["999999999", "102&103", "102\r\nAction: Hangup", "102\0", "${EXTEN}", "102@ivr", "8" * 4096]
)
async def test_what_is_no_target_reaches_no_pbx(office: Office, pool: asyncpg.Pool, to: str) -> None:
    async with bridging(pool, office.asterisk) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        answer = await bridge.transfer("blind", "101", to)
        assert (answer.status, answer.json["error"]) == (400, "not_a_number")
        await hangs_up(customer, anna)
    await office.incoming(customer, anna, hangup_by="customer")


async def test_an_account_that_may_not_is_an_error_that_says_so(office: Office, pool: asyncpg.Pool) -> None:
    async with bridging(pool, office.asterisk, account=HEARS) as bridge:
        customer, anna = await office.talking()
        await knows(bridge)
        with capture_logs() as lines:
            answer = await bridge.transfer("blind", "101", "102")
        await hangs_up(customer, anna)
    assert (answer.status, answer.json) == (500, {"detail": "Transfer failed: pbx: Permission denied"})
    assert [line["advice"] for line in lines if line["event"] == "transfer_not_made"] == [
        "`write` of the AMI account needs call"
    ]
    await office.incoming(customer, anna, hangup_by="customer")


async def test_of_a_call_that_was_picked_up(office: Office, pool: asyncpg.Pool) -> None:
    """Asterisk gives the channel of who picked up another name then."""
    async with bridging(pool, office.asterisk) as bridge:
        customer = office.customer(ANNA)
        anna = await office.called("101")
        await moment()
        boris = office.phones["102"].call("*8101")
        await boris.is_answered()
        await anna.is_over()
        await knows(bridge, "102")
        assert (await bridge.transfer("blind", "102", "103")).status == 200
        vera = await office.takes("103")
        await boris.is_over()
        await hangs_up(customer, vera)
    [record] = await office.records()
    assert [(one.kind, one.from_, one.to, one.answered) for one in record.transfers] == [
        ("pickup", "101", "102", True), ("blind", "102", "103", True),
    ]  # fmt: skip
    assert record.operators == ("102", "103")
