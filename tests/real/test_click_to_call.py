"""Calls that we place: `Originate` rings the operator, straight or as FreePBX does it, then the customer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from amibridge.ami.actions import originate
from amibridge.ami.events import Uniqueid
from tests.real.asterisk import GATEWAY, NEVER_THERE
from tests.real.office import CUSTOMER, OUR_NUMBER, Fields, Office, hangs_up, moment
from tests.real.talk import Talk

UNIQUEID = Uniqueid("1795491044.482913047715")
CLICK = f"amibridge-{UNIQUEID}"

NAME = "Иван Петров"

WAYS = pytest.mark.parametrize("way", ["phone", "local"])
"""Anna's phone itself, or a Local channel that stays, behind which the dialplan rings it."""


async def click(
    office: Office,
    way: str,
    who: str = "101",
    context: str = "from-internal",
    uniqueid: Uniqueid = UNIQUEID,
    number: str = CUSTOMER,
) -> None:
    channel = f"{office.asterisk.driver}/{who}" if way == "phone" else f"Local/{who}@from-internal/n"
    reply = await office.ear.send(
        originate(
            channel,
            context=context,
            exten=number,
            caller=who,
            shown=NAME,
            uniqueid=uniqueid,
            rings_for=timedelta(seconds=1.5),
        )
    )
    assert reply.success


async def told(office: Office, anna: Talk, customer: Talk | None = None, **fields: Any) -> None:
    """The one call that there was: Anna, called by us, and the customer, if it came to that."""
    began: Fields = {
        "external_number": CUSTOMER, "phone": "+79161112233", "click_to_call": CLICK, "caller": "101",
        "line": None if customer is None else OUR_NUMBER,
    }  # fmt: skip
    if customer is not None and customer.answered_at is not None:
        began |= {"operators": ["101"]}
    await office.outgoing(anna, customer, **(began | fields))


@WAYS
@pytest.mark.parametrize("who", ["customer", "operator"])
async def test_both_talk(office: Office, way: str, who: str) -> None:
    await click(office, way)
    anna = await office.takes("101")
    customer = await office.takes("trunk")
    await moment()
    await (hangs_up(customer, anna) if who == "customer" else hangs_up(anna, customer))
    await told(office, anna, customer, hangup_by=who, ended_at=customer.ended_at)


@WAYS
async def test_the_phone_shows_the_customer_who_is_called_as_if_it_had_dialled(office: Office, way: str) -> None:
    """By a line for which the dialplan sets no number of ours: a gateway."""
    await click(office, way, number=f"9{CUSTOMER}")
    anna = await office.takes("101")
    assert anna.shown == (NAME, f"9{CUSTOMER}")
    customer = await office.called(GATEWAY)
    assert customer.shown[1] == "101"
    await hangs_up(anna, customer)


async def test_a_phone_without_a_caller_id_of_its_own_calls_as_its_extension(office: Office) -> None:
    await click(office, "phone", "vera", number=f"9{CUSTOMER}")
    vera = await office.takes("vera")
    customer = await office.called(GATEWAY)
    assert customer.shown[1] == "vera"
    await hangs_up(vera, customer)


@WAYS
async def test_the_operator_does_not_take_it(office: Office, way: str) -> None:
    await click(office, way)
    anna = await office.called("101")
    await anna.is_over()
    await told(office, anna, outcome="cancelled", reason="operator_no_answer", hangup_by="system")


@WAYS
@pytest.mark.parametrize(("status", "reason", "by"), [(486, "busy", "system"), (603, "declined", "operator")])
async def test_the_operator_refuses_it(office: Office, way: str, status: int, reason: str, by: str) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(status, "No")
    await click(office, way)
    anna = await office.called("101")
    await told(office, anna, outcome="cancelled", reason=reason, hangup_by=by)


@WAYS
async def test_the_operator_looks_at_it_and_declines(office: Office, way: str) -> None:
    await click(office, way)
    anna = await office.called("101")
    await moment()
    anna.refuse(603, "Decline")
    await told(office, anna, outcome="cancelled", reason="declined", hangup_by="operator")


@WAYS
async def test_the_operators_phone_is_not_there(office: Office, way: str) -> None:
    """Where no Local channel is in between, no channel comes to be: Asterisk's answer is all that is heard of it."""
    before = office.outside.now()
    await click(office, way, NEVER_THERE)
    [record] = await office.records()
    office.assert_told(
        record, direction="outgoing", outcome="cancelled", reason="unavailable", hangup_by="system",
        external_number=CUSTOMER, phone="+79161112233", caller=NEVER_THERE, click_to_call=CLICK, started_at=before,
        ended_at=before,
    )  # fmt: skip


@WAYS
@pytest.mark.parametrize(
    ("status", "outcome", "reason", "by"),
    [
        (486, "busy", "busy", "system"),
        (603, "no_answer", "declined", "customer"),
        (480, "no_answer", "no_answer", "system"),
        (404, "failed", "unallocated", "system"),
        (503, "failed", "congestion", "system"),
    ],
)
async def test_the_customer_is_not_reached(
    office: Office, way: str, status: int, outcome: str, reason: str, by: str
) -> None:
    office.outside.on_call = lambda talk: talk.refuse(status, "No")
    await click(office, way)
    anna = await office.takes("101")
    customer = await office.outside.is_called()
    await hangs_up(anna)  # she hears the tone, unless Asterisk was quicker
    await told(office, anna, customer, outcome=outcome, reason=reason, hangup_by=by)


@WAYS
async def test_the_customer_does_not_answer(office: Office, way: str) -> None:
    await click(office, way, context="impatient")
    anna = await office.takes("101")
    customer = await office.outside.is_called()
    await customer.is_over()
    await anna.is_over()
    await told(office, anna, customer, rang=[], outcome="no_answer", reason="no_answer", hangup_by="system")


@WAYS
async def test_the_operator_gives_up_before_the_customer_answers(office: Office, way: str) -> None:
    await click(office, way)
    anna = await office.takes("101")
    customer = await office.outside.is_called()
    await moment()
    await hangs_up(anna, customer)
    await told(office, anna, customer, outcome="cancelled", reason="abandoned", hangup_by="operator")


@WAYS
async def test_the_customer_is_handed_on(office: Office, way: str) -> None:
    await click(office, way)
    anna = await office.takes("101")
    customer = await office.takes("trunk")
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await hangs_up(customer, boris)
    await told(
        office, anna, customer, rang=["102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)], ended_at=customer.ended_at,
    )  # fmt: skip


async def test_two_clicks_at_once(office: Office) -> None:
    """For one customer, by two operators: each call knows its own."""
    await click(office, "phone", "101")
    await click(office, "phone", "102", uniqueid=Uniqueid("1795491044.482913047716"))
    anna, boris = await office.takes("101"), await office.takes("102")
    first, second = await office.outside.is_called(), await office.outside.is_called()
    await moment()
    first.answer()
    await moment()
    await hangs_up(boris)
    await hangs_up(anna)
    records = {str(record.caller): record for record in await office.records(2)}
    assert sorted(records) == ["101", "102"]
    assert {record.external_number for record in records.values()} == {CUSTOMER}
    assert sorted(str(record.outcome) for record in records.values()) == ["answered", "cancelled"]
    assert second is not first
