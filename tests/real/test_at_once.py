"""Many calls at the same moment: each record tells its own, and none of another."""

from __future__ import annotations

import asyncio

from tests.real.office import ANNA, CALLER, Office, hangs_up, moment
from tests.real.talk import Talk

LINE_OF_ALL = "74951110003"
"""It rings Anna and Boris."""


async def by_number(office: Office, extension: str, count: int) -> dict[str, Talk]:
    """The next *count* calls to *extension*, by who calls."""
    talks = [await office.called(extension) for _ in range(count)]
    return {talk.number: talk for talk in talks}


async def test_ten_customers(office: Office) -> None:
    """Anna takes every second one and declines the others; some hang up themselves."""
    customers = [office.customer(ANNA, f"7916111000{n}") for n in range(10)]
    phones = await by_number(office, "101", 10)
    await moment()
    for n, customer in enumerate(customers):
        if n % 2 == 0:
            phones[customer.caller].answer()
        else:
            phones[customer.caller].refuse(603, "Decline")
    await asyncio.gather(*(customer.is_answered() for customer in customers[::2]))
    await moment()
    for n, customer in enumerate(customers[::2]):
        (customer if n % 2 else phones[customer.caller]).hang_up()
    records = {record.external_number: record for record in await office.records(10)}
    for n, customer in enumerate(customers):
        record, anna = records[customer.caller], phones[customer.caller]
        if n % 2 == 0:
            office.assert_incoming(record, customer, anna, hangup_by="operator" if n % 4 == 0 else "customer")
        else:
            office.assert_incoming(record, customer, anna, outcome="missed", reason="declined", hangup_by="operator")


async def test_ten_who_are_called(office: Office) -> None:
    numbers = [f"8916222000{n}" for n in range(10)]
    office.outside.on_call = lambda talk: talk.refuse(486) if talk.called in numbers[::2] else talk.ring()
    annas = [office.phones["101"].call(number) for number in numbers]
    customers = {talk.called: talk for talk in [await office.outside.is_called() for _ in numbers]}
    await moment()
    for number in numbers[1::2]:
        customers[number].answer()
    await asyncio.gather(*(anna.is_answered() for anna in annas[1::2]))
    await moment()
    for anna in annas[1::2]:
        anna.hang_up()
    records = {record.external_number: record for record in await office.records(10)}
    for n, anna in enumerate(annas):
        record, customer = records[anna.number], customers[anna.number]
        if n % 2:
            office.assert_outgoing(record, anna, customer, rang=[], hangup_by="operator")
        else:
            office.assert_outgoing(record, anna, outcome="busy", reason="busy", hangup_by="system")


async def test_one_number_twice_at_the_same_moment(office: Office) -> None:
    """A company's number, behind which many sit: the one is taken, the other gives up."""
    one, two = office.customer(ANNA), office.customer(ANNA)
    first, second = await office.called("101"), await office.called("101")
    await moment()
    first.answer()
    await moment()
    waiting = two if one.answered_at else one
    taken = one if one.answered_at else two
    await hangs_up(waiting, second)
    await hangs_up(taken, first)
    missed, answered = await office.records(2)
    office.assert_incoming(missed, waiting, second, outcome="missed", reason="abandoned", hangup_by="customer")
    office.assert_incoming(answered, taken, first, hangup_by="customer")
    assert {missed.external_number, answered.external_number} == {CALLER}


async def test_a_colleague_meanwhile(office: Office) -> None:
    """A ring group is answered by one while the other calls somebody himself."""
    customer = office.customer(LINE_OF_ALL)
    anna, boris = await office.called("101"), await office.called("102")
    own = office.phones["102"].call("103")
    vera = await office.takes("103")
    anna.answer()
    await boris.is_over()
    await moment()
    await hangs_up(vera, own)
    await hangs_up(customer, anna)
    internal, incoming = await office.records(2)
    office.assert_internal(internal, own, vera, hangup_by="operator")
    assert (incoming.operators, sorted(incoming.rang), incoming.hangup_by) == (("101",), ["101", "102"], "customer")


async def test_two_customers_are_exchanged(office: Office) -> None:
    """Anna hands hers to Boris, and he his to her, at the same moment."""
    one, anna = await office.talking(number="79161110001")
    two = office.customer(LINE_OF_ALL, "79161110002")
    await office.called("101")
    boris = await office.takes("102")
    anna.refer("102")
    boris.refer("101")
    for_boris, for_anna = await office.called("102"), await office.called("101")
    await hangs_up(anna)
    await hangs_up(boris)
    for_boris.answer()
    for_anna.answer()
    await moment()
    await hangs_up(one, for_boris)
    await moment()
    await hangs_up(for_anna, two)
    first, second = await office.records(2)
    office.assert_incoming(
        first, one, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip
    office.assert_incoming(
        second, two, boris, rang=list(second.rang), operators=["102", "101"], hangup_by="operator",
        transfers=[("blind", "102", "101", True)],
    )  # fmt: skip
