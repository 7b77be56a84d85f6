"""Conference rooms: whoever meets the customer there talks with him."""

from __future__ import annotations

from tests.real.office import Office, moment


async def test_a_colleague_meets_the_customer(office: Office) -> None:
    customer = office.customer("74951110010")
    await customer.is_answered()
    await moment()
    anna = office.phones["101"].call("800")
    await anna.is_answered()
    await moment()
    anna.hang_up()
    await moment()
    customer.hang_up()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", operators=["101"], hangup_by="operator", answered_at=anna.answered_at,
        talked_until=anna.ended_at, notes=list(record.notes),
    )  # fmt: skip


async def test_nobody_comes(office: Office) -> None:
    customer = office.customer("74951110010")
    await customer.is_answered()
    await moment()
    customer.hang_up()
    [record] = await office.records()
    office.assert_incoming(record, customer, outcome="missed", reason="ivr", hangup_by="customer")


async def test_three_who_talk(office: Office) -> None:
    anna = office.phones["101"].call("800")
    await anna.is_answered()
    await moment()
    customer = office.customer("74951110010")
    await customer.is_answered()
    await moment()
    boris = office.phones["102"].call("800")
    await boris.is_answered()
    await moment()
    anna.hang_up()
    await moment()
    customer.hang_up()
    await moment()
    boris.hang_up()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", operators=["101", "102"], hangup_by="customer",
        answered_at=customer.answered_at, notes=list(record.notes),
    )  # fmt: skip
