"""Customers who call us: taken, or missed for every reason there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from amibridge.calls.record import CallRecord
from tests.real.office import Office, hangs_up, moment


@pytest.mark.parametrize("who", ["customer", "operator"])
async def test_taken(office: Office, who: str) -> None:
    customer = office.customer("74951110001", name="Иван Петров")
    anna = await office.called("101")
    await moment()
    anna.answer()
    await customer.is_answered()
    await moment()
    (customer if who == "customer" else anna).hang_up()
    await anna.is_over()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", caller_name="Иван Петров", rang=["101"], operators=["101"],
        hangup_by=who, rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip
    assert recorded_bytes(record) > 1000


async def test_a_recording_with_an_odd_name(office: Office) -> None:
    customer, anna = await office.talking("74951110025")
    await hangs_up(customer, anna)
    record = await office.incoming(customer, anna, hangup_by="customer")
    assert recorded_bytes(record) > 1000


async def test_nobody_answers(office: Office) -> None:
    customer = office.customer("74951110002")
    anna = await office.called("101")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="no_answer", rang=["101"], hangup_by="system", rang_at=anna.rang_at
    )


async def test_the_customer_gives_up(office: Office) -> None:
    customer = office.customer("74951110001")
    anna = await office.called("101")
    await customer.rings()
    await moment()
    customer.cancel()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="abandoned", rang=["101"], hangup_by="customer", rang_at=anna.rang_at
    )


async def test_the_operator_is_busy(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(486)
    customer = office.customer("74951110001")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="busy", hangup_by="system")


async def test_the_operator_declines(office: Office) -> None:
    customer = office.customer("74951110001")
    anna = await office.called("101")
    await moment()
    anna.refuse(603, "Decline")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="declined", rang=["101"], hangup_by="operator", rang_at=anna.rang_at
    )


async def test_the_phone_is_not_there(office: Office) -> None:
    customer = office.customer("74951110012")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="unavailable", hangup_by="system")


async def test_the_phone_answers_480(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(480, "Temporarily Unavailable")
    customer = office.customer("74951110001")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="unavailable", hangup_by="system")


async def test_nobody_has_that_number(office: Office) -> None:
    customer = office.customer("74951119999")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="failed", reason="unallocated", hangup_by="system")


async def test_ring_group(office: Office) -> None:
    customer = office.customer("74951110003")
    anna, boris = await office.called("101"), await office.called("102")
    await moment()
    boris.answer()
    await customer.is_answered()
    await anna.is_over()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    assert anna.rang_at is not None
    office.assert_incoming(
        record, customer, outcome="answered", rang=list(record.rang), operators=["102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=boris.answered_at,
    )  # fmt: skip
    assert sorted(record.rang) == ["101", "102"]


async def test_ring_group_of_which_nobody_answers(office: Office) -> None:
    """One rings in vain, one is busy, one is not plugged in: it was missed because nobody answered."""
    office.phones["102"].on_call = lambda talk: talk.refuse(486)
    customer = office.customer("74951110017")
    anna = await office.called("101")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="no_answer", rang=["101"], hangup_by="system", rang_at=anna.rang_at
    )


async def test_left_in_the_menu(office: Office) -> None:
    customer = office.customer("74951110004")
    await customer.is_answered()
    await moment()
    customer.hang_up()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="ivr", hangup_by="customer")


async def test_through_the_menu_to_an_operator(office: Office) -> None:
    customer = office.customer("74951110004")
    await customer.is_answered()
    await moment()
    await customer.press("1")
    anna = await office.called("101")
    await moment()
    anna.answer()
    await moment()
    await moment()
    anna.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip


async def test_through_the_menu_and_given_up(office: Office) -> None:
    customer = office.customer("74951110004")
    await customer.is_answered()
    await customer.press("1")
    anna = await office.called("101")
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="abandoned", rang=["101"], hangup_by="customer", rang_at=anna.rang_at
    )


async def test_voicemail_is_nobody(office: Office) -> None:
    customer = office.customer("74951110008")
    anna = await office.called("101")
    await customer.is_answered()
    await moment()
    customer.hang_up()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="voicemail", rang=["101"], hangup_by="customer", rang_at=anna.rang_at
    )


async def test_two_calls_of_one_number_are_two(office: Office) -> None:
    one = office.customer("74951110001")
    anna = await office.called("101")
    two = office.customer("74951110003")
    boris = await office.called("102")
    await moment()
    boris.answer()
    anna.answer()
    await one.is_answered()
    await two.is_answered()
    await moment()
    one.hang_up()
    await moment()
    boris.hang_up()
    await two.is_over()
    first, second = await office.records(2)
    office.assert_incoming(
        first, one, outcome="answered", rang=["101"], operators=["101"], hangup_by="customer", rang_at=anna.rang_at,
        answered_at=anna.answered_at,
    )  # fmt: skip
    office.assert_incoming(
        second, two, outcome="answered", rang=list(second.rang), operators=["102"], hangup_by="operator",
        rang_at=boris.rang_at, answered_at=boris.answered_at,
    )  # fmt: skip


def recorded_bytes(record: CallRecord) -> int:
    """The size of its one recording."""
    [path] = record.recordings
    return Path(path).stat().st_size
