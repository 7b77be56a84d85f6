"""Conference rooms: whoever meets the customer there talks with him."""

from __future__ import annotations

from tests.real.office import Office, hangs_up, moment
from tests.real.talk import Talk

ROOM = "74951110010"


async def comes(office: Office, extension: str) -> Talk:
    """The owner of *extension* goes to the room."""
    talk = office.phones[extension].call("800")
    await talk.is_answered()
    await moment()
    return talk


async def dials_in(office: Office, number: str = "79161234567") -> Talk:
    """A customer is led there by the dialplan."""
    customer = office.customer(ROOM, number)
    await customer.is_answered()
    await moment()
    return customer


async def test_a_colleague_meets_the_customer(office: Office) -> None:
    customer = await dials_in(office)
    anna = await comes(office, "101")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer)
    await office.incoming(
        customer, outcome="answered", operators=["101"], hangup_by="operator", answered_at=anna.answered_at,
        talked_until=anna.ended_at,
    )  # fmt: skip


async def test_nobody_comes(office: Office) -> None:
    office.disregard("minimal")  # without HangupRequest nobody knows who ended that
    customer = await dials_in(office)
    await hangs_up(customer)
    await office.incoming(customer, outcome="missed", reason="ivr", hangup_by="customer")


async def test_three_who_talk(office: Office) -> None:
    anna = await comes(office, "101")
    customer = await dials_in(office)
    boris = await comes(office, "102")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer)
    await moment()
    await hangs_up(boris)
    await office.incoming(
        customer, outcome="answered", operators=["101", "102"], hangup_by="customer", answered_at=customer.answered_at
    )


async def test_two_customers_and_an_operator(office: Office) -> None:
    """Each has talked with her, as long as both were there."""
    one = await dials_in(office, "79161110001")
    two = await dials_in(office, "79161110002")
    anna = await comes(office, "101")
    await moment()
    await hangs_up(one)
    await moment()
    await hangs_up(two)
    await moment()
    await hangs_up(anna)
    first, second = await office.records(2)
    for record, customer in ((first, one), (second, two)):
        office.assert_incoming(
            record, customer, outcome="answered", operators=["101"], hangup_by="customer", answered_at=anna.answered_at
        )


async def test_a_second_customer_comes_to_those_who_talk(office: Office) -> None:
    anna = await comes(office, "101")
    one = await dials_in(office, "79161110001")
    two = await dials_in(office, "79161110002")
    boris = await comes(office, "102")
    await hangs_up(anna)
    await moment()
    await hangs_up(boris)
    left_at = boris.ended_at
    await moment()
    await hangs_up(two)
    await moment()
    await hangs_up(one)
    second, first = await office.records(2)
    for record, customer in ((first, one), (second, two)):
        office.assert_incoming(
            record, customer, outcome="answered", operators=["101", "102"], hangup_by="operator",
            answered_at=customer.answered_at, talked_until=left_at,
        )  # fmt: skip


async def test_one_customer_after_another(office: Office) -> None:
    """Anna sits in the room and waits for whoever comes."""
    anna = await comes(office, "101")
    one = await dials_in(office, "79161110001")
    await hangs_up(one)
    await moment()
    two = await dials_in(office, "79161110002")
    await hangs_up(anna)
    await moment()
    await hangs_up(two)
    first, second = await office.records(2)
    office.assert_incoming(
        first, one, outcome="answered", operators=["101"], hangup_by="customer", answered_at=one.answered_at
    )
    office.assert_incoming(
        second, two, outcome="answered", operators=["101"], hangup_by="operator", answered_at=two.answered_at,
        talked_until=anna.ended_at,
    )  # fmt: skip


async def test_two_customers_among_themselves(office: Office) -> None:
    """Nobody of ours was there."""
    office.disregard("minimal")
    one = await dials_in(office, "79161110001")
    two = await dials_in(office, "79161110002")
    await hangs_up(one)
    await moment()
    await hangs_up(two)
    first, second = await office.records(2)
    office.assert_incoming(first, one, outcome="missed", reason="ivr", hangup_by="customer")
    office.assert_incoming(second, two, outcome="missed", reason="ivr", hangup_by="customer")


async def test_colleagues_among_themselves(office: Office) -> None:
    anna = await comes(office, "101")
    boris = await comes(office, "102")
    await hangs_up(boris)
    await moment()
    await hangs_up(anna)
    [record] = await office.records()
    assert (record.direction, record.outcome, record.caller, record.operators) == (
        "internal", "answered", "101", ("102",),
    )  # fmt: skip
