"""Calls that are led on before anybody answers: phones that forward (302), dialplans that do, Local channels."""

from __future__ import annotations

import pytest

from tests.real.office import ANNA, MOBILE, Office, hangs_up, moment


async def test_the_dialplan_forwards_to_a_mobile_that_is_busy(office: Office) -> None:
    office.outside.on_call = lambda talk: talk.refuse(486)
    customer = office.customer("74951110009")
    await customer.is_over()
    await office.incoming(customer, outcome="missed", reason="busy", hangup_by="system")


async def test_a_phone_forwards_to_a_colleague(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward("102")
    customer = office.customer(ANNA)
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(customer, boris, hangup_by="customer", transfers=[("forward", "101", "102", True)])


async def test_a_phone_forwards_to_a_mobile(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward(MOBILE)
    customer = office.customer(ANNA)
    mobile = await office.takes("trunk")
    await hangs_up(customer, mobile)
    await office.incoming(
        customer, mobile, operators=[MOBILE], hangup_by="customer", transfers=[("forward", "101", MOBILE, True)]
    )


async def test_two_phones_forward_to_one_another(office: Office) -> None:
    """Anna's to Boris, whose goes on to Vera."""
    office.phones["101"].on_call = lambda talk: talk.forward("102")
    office.phones["102"].on_call = lambda talk: talk.forward("103")
    customer = office.customer(ANNA)
    vera = await office.takes("103")
    await hangs_up(vera, customer)
    await office.incoming(
        customer, vera, hangup_by="operator",
        transfers=[("forward", "101", "102", True), ("forward", "102", "103", True)],
    )  # fmt: skip


async def test_a_phone_forwards_to_nobody(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward("102")
    customer = office.customer(ANNA)
    boris = await office.called("102")
    await customer.rings()
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, boris, outcome="missed", reason="abandoned", hangup_by="customer",
        transfers=[("forward", "101", "102", False)],
    )  # fmt: skip


async def test_a_colleagues_phone_forwards_to_a_mobile(office: Office) -> None:
    """An internal call that ends outside: who answered there took it."""
    office.phones["102"].on_call = lambda talk: talk.forward(MOBILE)
    anna = office.phones["101"].call("102")
    mobile = await office.takes("trunk")
    await hangs_up(anna, mobile)
    [record] = await office.records()
    assert (record.operators, record.outcome, record.transfers[0].to) == ((MOBILE,), "answered", MOBILE)


@pytest.mark.parametrize("line", ["74951110011", "74951110015"], ids=["optimised away", "stays"])
async def test_a_phone_behind_a_local_channel(office: Office, line: str) -> None:
    customer, anna = await office.talking(line)
    await moment()
    await hangs_up(anna, customer)
    await office.incoming(customer, anna, hangup_by="operator")


async def test_a_phone_behind_a_local_channel_rings_in_vain(office: Office) -> None:
    """The Local channel is given up, and with it the phone: nobody left, nobody answered."""
    customer = office.customer("74951110027")
    anna = await office.called("101")
    await customer.is_over()
    await office.incoming(customer, anna, outcome="missed", reason="no_answer", hangup_by="system")
