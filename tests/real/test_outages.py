"""The link or the PBX goes away in the middle of a call: it is settled once, honestly, and never stays open."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tests.real.office import Office, moment

BLIND = "the link to the PBX was down for a part of the call"


async def test_the_link_is_away_for_a_part_of_a_call(office: Office) -> None:
    customer, anna = await office.talking()
    for listener in office.listeners:
        await listener.close()
    await moment()
    for listener in office.listeners:
        await listener.connect()
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, complete=False, notes=[BLIND],
    )  # fmt: skip


async def test_the_call_ends_while_the_link_is_away(office: Office) -> None:
    customer, anna = await office.talking()
    for listener in office.listeners:
        await listener.close()
    away_since = now(office)
    customer.hang_up()
    await anna.is_over()
    await moment()
    for listener in office.listeners:
        await listener.connect()
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], rang_at=anna.rang_at,
        answered_at=anna.answered_at, ended_at=away_since, complete=False, notes=list(record.notes),
    )  # fmt: skip
    assert BLIND in record.notes


async def test_it_is_answered_while_the_link_is_away(office: Office) -> None:
    customer = office.customer("74951110001")
    anna = await office.called("101")
    await moment()
    for listener in office.listeners:
        await listener.close()
    anna.answer()
    await customer.is_answered()
    await moment()
    for listener in office.listeners:
        await listener.connect()
    await moment()
    anna.hang_up()
    await customer.is_over()
    [record] = await office.records(to_the_moment=False)
    assert record.answered_at is not None
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=record.answered_at, complete=False, notes=list(record.notes),
    )  # fmt: skip


async def test_a_call_that_was_there_before_us(office: Office) -> None:
    for listener in office.listeners:
        await listener.close()
    customer, anna = await office.talking()
    for listener in office.listeners:
        await listener.connect()
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records(to_the_moment=False)
    told = record.as_json()
    assert told["direction"] == "incoming"
    assert told["outcome"] == "answered"
    assert told["external_number"] == "79161234567"
    assert told["line"] == "74951110001"
    assert told["operators"] == ["101"]
    assert told["complete"] is False
    assert told["notes"] == ["first seen when it was already under way"]


async def test_the_pbx_is_killed_and_comes_back(office: Office) -> None:
    customer, anna = await office.talking()
    await office.asterisk.kill()
    killed_at = now(office)
    await moment()
    await office.asterisk.start()
    for listener in office.listeners:
        await listener.connect()
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], rang_at=anna.rang_at,
        answered_at=anna.answered_at, ended_at=killed_at, complete=False, notes=list(record.notes),
    )  # fmt: skip


async def test_the_pbx_is_stopped(office: Office) -> None:
    """`systemctl restart asterisk`: it hangs up for everybody before it goes."""
    customer, anna = await office.talking()
    stopped_at = now(office)
    await office.asterisk.stop()
    await asyncio.wait_for(customer.ended.wait(), 10)
    await office.asterisk.start()
    for listener in office.listeners:
        await listener.connect()
    [record] = await office.records(to_the_moment=False)
    assert record.ended_at is not None
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by=record.hangup_by,
        rang_at=anna.rang_at, answered_at=anna.answered_at, ended_at=stopped_at, notes=list(record.notes),
    )  # fmt: skip


def now(office: Office) -> datetime:
    return office.outside.now()
