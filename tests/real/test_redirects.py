"""AMI `Redirect`: a customer is led elsewhere, alone or with his operator, and no event of a transfer tells of it."""

from __future__ import annotations

import pytest

from tests.real.office import ANNA, MOBILE, InAnyOrder, Office, hangs_up, moment


async def redirects(office: Office, exten: str, **more: str) -> None:
    """The customer's channel is sent to *exten*."""
    channel = office.channel_of("trunk")
    await office.asks("Redirect", Channel=channel, Context="from-internal", Exten=exten, Priority="1", **more)


async def test_to_a_colleague(office: Office) -> None:
    customer, anna = await office.talking()
    await redirects(office, "102")
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("where", ["610", "620"], ids=["group", "queue"])
async def test_to_several(office: Office, where: str) -> None:
    """Nothing names the group: he was handed on to who took him."""
    customer, anna = await office.talking()
    await redirects(office, where)
    boris = await office.called("102")
    vera = await office.takes("103")
    await boris.is_over()
    await hangs_up(vera, customer)
    await office.incoming(
        customer, anna, rang=InAnyOrder(["101", "102", "103"]), operators=["101", "103"], hangup_by="operator",
        transfers=[("blind", "101", "103", True)], queue="support" if where == "620" else None,
    )  # fmt: skip


async def test_to_a_mobile(office: Office) -> None:
    customer, anna = await office.talking()
    await redirects(office, MOBILE)
    mobile = await office.takes("trunk")
    await hangs_up(customer, mobile)
    await office.incoming(
        customer, anna, operators=["101", MOBILE], hangup_by="customer", transfers=[("blind", "101", MOBILE, True)]
    )


async def test_to_a_menu_where_he_gives_up(office: Office) -> None:
    customer, anna = await office.talking()
    channel = office.channel_of("trunk")
    await office.asks("Redirect", Channel=channel, Context="ivr", Exten="s", Priority="1")
    await anna.is_over()
    left_at = anna.ended_at
    await moment()
    await hangs_up(customer)
    await office.incoming(customer, anna, hangup_by="customer", talked_until=left_at)


async def test_before_anybody_answered(office: Office) -> None:
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await moment()
    await redirects(office, "102")
    await anna.is_over()
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, outcome="answered", rang=["101", "102"], operators=["102"], hangup_by="customer",
        answered_at=boris.answered_at,
    )  # fmt: skip


async def test_both_into_a_conference(office: Office) -> None:
    """They go on talking there, and a colleague joins them."""
    customer, anna = await office.talking()
    await redirects(
        office, "800", ExtraChannel=office.channel_of("101"), ExtraContext="from-internal", ExtraExten="800",
        ExtraPriority="1",
    )  # fmt: skip
    await moment()
    boris = office.phones["102"].call("800")
    await boris.is_answered()
    await moment()
    await hangs_up(anna)
    await moment()
    await hangs_up(customer)
    await moment()
    await hangs_up(boris)
    await office.incoming(customer, anna, operators=["101", "102"], hangup_by="customer")


async def test_back_to_the_same_operator(office: Office) -> None:
    """Her phone is called anew: nobody was handed on."""
    customer, anna = await office.talking()
    await redirects(office, "101")
    again = await office.takes("101")
    await anna.is_over()
    await hangs_up(again, customer)
    await office.incoming(customer, anna, hangup_by="operator")
