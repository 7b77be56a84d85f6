"""Calls that are led on before anybody answers: find-me, phones that forward, dialplans that do, Local channels."""

from __future__ import annotations

from tests.real.office import Office, moment

MOBILE = "89160000077"


async def test_find_me_ends_at_the_mobile(office: Office) -> None:
    """The desk, the colleague, then a number outside: who answered there is named by the number dialled."""
    customer = office.customer("74951110007")
    anna = await office.called("101")
    boris = await office.called("102")
    mobile = await office.outside.is_called()
    await moment()
    mobile.answer()
    await customer.is_answered()
    await moment()
    mobile.hang_up()
    await customer.is_over()
    assert boris.rang_at is not None
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=[MOBILE], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=mobile.answered_at,
    )  # fmt: skip


async def test_the_dialplan_forwards_to_a_mobile_that_is_busy(office: Office) -> None:
    office.outside.on_call = lambda talk: talk.refuse(486)
    customer = office.customer("74951110009")
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="busy", hangup_by="system")


async def test_a_phone_forwards_to_a_colleague(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward("102")
    customer = office.customer("74951110001")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await customer.is_answered()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["102"], operators=["102"], hangup_by="customer",
        rang_at=boris.rang_at, answered_at=boris.answered_at, transfers=[("forward", "101", "102", True)],
    )  # fmt: skip


async def test_a_phone_forwards_to_a_mobile(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward(MOBILE)
    customer = office.customer("74951110001")
    mobile = await office.outside.is_called()
    await moment()
    mobile.answer()
    await customer.is_answered()
    await moment()
    customer.hang_up()
    await mobile.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", operators=[MOBILE], hangup_by="customer", rang_at=mobile.rang_at,
        answered_at=mobile.answered_at, transfers=[("forward", "101", MOBILE, True)],
    )  # fmt: skip


async def test_a_phone_forwards_to_nobody(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward("102")
    customer = office.customer("74951110001")
    boris = await office.called("102")
    await customer.rings()
    await moment()
    customer.cancel()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="missed", reason="abandoned", rang=["102"], hangup_by="customer",
        rang_at=boris.rang_at, transfers=[("forward", "101", "102", False)], ended_at=boris.ended_at,
    )  # fmt: skip


async def test_a_local_channel_that_is_optimised_away(office: Office) -> None:
    customer = office.customer("74951110011")
    anna = await office.called("101")
    await moment()
    anna.answer()
    await customer.is_answered()
    await moment()
    await moment()
    anna.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip


async def test_a_local_channel_that_stays(office: Office) -> None:
    customer = office.customer("74951110015")
    anna = await office.called("101")
    await moment()
    anna.answer()
    await customer.is_answered()
    await moment()
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip


async def test_a_colleague_picks_it_up(office: Office) -> None:
    """Credit goes to the one who picked up."""
    customer = office.customer("74951110001")
    anna = await office.called("101")
    await moment()
    boris = office.phones["102"].call("*8")
    await boris.is_answered()
    await anna.is_over()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=boris.answered_at, transfers=[("pickup", "101", "102", True)],
    )  # fmt: skip
