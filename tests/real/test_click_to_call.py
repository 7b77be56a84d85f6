"""Calls that we place: `Originate` rings the operator, then the customer."""

from __future__ import annotations

import pytest

from amibridge.ami.actions import originate
from tests.real.office import OUR_NUMBER, Fields, Office, moment

CUSTOMER = "89161112233"
CLICK = "click-7f3b"
FIELDS: Fields = {
    "direction": "outgoing", "external_number": CUSTOMER, "phone": "+79161112233", "caller": "101",
}  # fmt: skip


async def click(office: Office, kind: str) -> None:
    channel = {"phone": f"{office.asterisk.driver}/101", "local": "Local/101@from-internal/n"}[kind]
    reply = await office.ear.send(
        originate(
            channel,
            context="from-internal",
            exten=CUSTOMER,
            caller_id=f"{CUSTOMER} <{CUSTOMER}>",
            click=CLICK,
            timeout_ms=3000,
        )
    )
    assert reply.success


@pytest.mark.parametrize("kind", ["phone", "local"])
async def test_answered(office: Office, kind: str) -> None:
    await click(office, kind)
    anna = await office.called("101")
    await moment()
    anna.answer()
    customer = await office.outside.is_called()
    await moment()
    customer.answer()
    await moment()
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_told(
        record, **FIELDS, outcome="answered", line=OUR_NUMBER, operators=["101"], hangup_by="customer",
        started_at=anna.began_at, rang_at=customer.rang_at, answered_at=customer.answered_at,
        ended_at=customer.ended_at, click_to_call=CLICK,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["phone", "local"])
async def test_the_operator_does_not_take_it(office: Office, kind: str) -> None:
    await click(office, kind)
    anna = await office.called("101")
    await anna.is_over()
    [record] = await office.records()
    office.assert_told(
        record, **FIELDS, outcome="cancelled", reason="operator_no_answer", hangup_by="system",
        started_at=anna.began_at, ended_at=anna.ended_at, click_to_call=CLICK,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "reason", "by"), [(486, "busy", "system"), (603, "declined", "operator")])
async def test_the_operator_refuses_it(office: Office, status: int, reason: str, by: str) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(status, "No")
    await click(office, "phone")
    anna = await office.called("101")
    [record] = await office.records()
    office.assert_told(
        record, **FIELDS, outcome="cancelled", reason=reason, hangup_by=by, started_at=anna.began_at,
        ended_at=anna.ended_at, click_to_call=CLICK,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (404, "failed")])
async def test_the_customer_is_not_reached(office: Office, status: int, outcome: str) -> None:
    office.outside.on_call = lambda talk: talk.refuse(status, "No")
    await click(office, "phone")
    anna = await office.called("101")
    anna.answer()
    await moment()
    anna.hang_up()  # he hears the tone
    [record] = await office.records()
    office.assert_told(
        record, **FIELDS, outcome=outcome, reason={486: "busy", 404: "unallocated"}[status], line=OUR_NUMBER,
        hangup_by="system", started_at=anna.began_at, ended_at=anna.ended_at, click_to_call=CLICK,
    )  # fmt: skip


async def test_the_operator_gives_up_before_the_customer_answers(office: Office) -> None:
    await click(office, "phone")
    anna = await office.called("101")
    anna.answer()
    customer = await office.outside.is_called()
    await moment()
    anna.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_told(
        record, **FIELDS, outcome="cancelled", reason="abandoned", line=OUR_NUMBER, hangup_by="operator",
        started_at=anna.began_at, rang_at=customer.rang_at, ended_at=anna.ended_at, click_to_call=CLICK,
    )  # fmt: skip
