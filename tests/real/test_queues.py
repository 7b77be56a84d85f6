"""Queues: members one after another, all at once, behind Local channels, and customers who do not wait."""

from __future__ import annotations

from tests.real.office import Office, moment


async def test_the_second_member_takes_it(office: Office) -> None:
    customer = office.customer("74951110006")
    anna = await office.called("101")
    await anna.is_over()
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", queue="one-by-one", rang=["101", "102"], operators=["102"],
        hangup_by="customer", rang_at=anna.rang_at, answered_at=boris.answered_at,
    )  # fmt: skip


async def test_members_behind_local_channels(office: Office) -> None:
    """As FreePBX has them: the phone rings behind a Local channel that stays for the whole call."""
    customer = office.customer("74951110005")
    anna = await office.called("101")
    await anna.is_over()
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    await moment()
    boris.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", queue="local-members", rang=["101", "102"], operators=["102"],
        hangup_by="operator", rang_at=anna.rang_at, answered_at=boris.answered_at,
    )  # fmt: skip


async def test_the_customer_gives_up_waiting(office: Office) -> None:
    customer = office.customer("74951110006")
    anna = await office.called("101")
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="abandoned", queue="one-by-one", rang=["101"],
        hangup_by="customer", rang_at=anna.rang_at,
    )  # fmt: skip


async def test_the_queue_gives_up(office: Office) -> None:
    """However many members did not pick up: one missed call."""
    customer = office.customer("74951110013")
    anna = await office.called("101")
    boris = await office.called("102")
    await customer.is_over()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="queue_timeout", queue="one-by-one", rang=["101", "102"],
        hangup_by="system", rang_at=anna.rang_at,
    )  # fmt: skip


async def test_two_customers_in_one_queue(office: Office) -> None:
    one = office.customer("74951110016", number="79161110001")
    anna, boris = await office.called("101"), await office.called("102")
    two = office.customer("74951110016", number="79161110002")
    await moment()
    anna.answer()
    await boris.is_over()
    again = await office.called("102")
    await moment()
    again.answer()
    await moment()
    one.hang_up()
    await moment()
    again.hang_up()
    await two.is_over()
    first, second = await office.records(2)
    office.assert_incoming(
        first, one, outcome="answered", queue="everybody", rang=list(first.rang), operators=["101"],
        hangup_by="customer", rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip
    office.assert_incoming(
        second, two, outcome="answered", queue="everybody", rang=["102"], operators=["102"],
        hangup_by="operator", rang_at=again.rang_at, answered_at=again.answered_at,
    )  # fmt: skip


async def test_a_colleague_calls_the_queue(office: Office) -> None:
    """An internal call, whatever it goes through."""
    vera = office.phones["103"].call("600")
    anna = await office.called("101")
    await moment()
    anna.answer()
    await moment()
    vera.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_internal(
        record, vera, outcome="answered", queue="everybody", rang=list(record.rang), operators=["101"],
        hangup_by="operator", rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip
