"""An operator hands his customer on blind: to a colleague, a group, a queue, a mobile; taken, or in vain."""

from __future__ import annotations

import pytest

from tests.real.office import MOBILE, InAnyOrder, Office, hangs_up, moment


async def test_by_refer(office: Office) -> None:
    customer, anna = await office.talking()
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await moment()
    await hangs_up(boris, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="operator",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_by_feature_code(office: Office) -> None:
    customer, anna = await office.talking()
    await anna.press("##102")
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_by_action(office: Office) -> None:
    customer, anna = await office.talking()
    await office.asks("BlindTransfer", Channel=office.channel_of("101"), Context="from-internal", Exten="102")
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_to_a_mobile(office: Office) -> None:
    customer, anna = await office.talking()
    anna.refer(MOBILE)
    mobile = await office.outside.is_called()
    await hangs_up(anna)
    await moment()
    mobile.answer()
    await moment()
    await hangs_up(mobile, customer)
    await office.incoming(
        customer, anna, operators=["101", MOBILE], hangup_by="operator", transfers=[("blind", "101", MOBILE, True)]
    )


async def test_nobody_answers(office: Office) -> None:
    """The talk ended when Anna left; that the customer waited longer is no talk."""
    customer, anna = await office.talking()
    anna.refer("102")
    boris = await office.called("102")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="customer", transfers=[("blind", "101", "102", False)],
        talked_until=anna.ended_at,
    )  # fmt: skip


async def test_of_a_customer_who_was_called(office: Office) -> None:
    customer, anna = await office.calling()
    anna.refer("102")
    boris = await office.called("102")
    await hangs_up(anna)
    await moment()
    boris.answer()
    await moment()
    await hangs_up(customer, boris)
    await office.outgoing(
        anna, customer, rang=["102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("blind", "101", "102", True)], ended_at=customer.ended_at,
    )  # fmt: skip


async def test_of_a_customer_who_was_called_and_nobody_answers(office: Office) -> None:
    customer, anna = await office.calling()
    anna.refer("102")
    boris = await office.called("102")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, boris)
    await office.outgoing(
        anna, customer, rang=["102"], hangup_by="customer", transfers=[("blind", "101", "102", False)],
        talked_until=anna.ended_at, ended_at=customer.ended_at,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["610", "620"], ids=["group", "queue"])
async def test_to_several(office: Office, where: str) -> None:
    """A ring group or a queue: one of them takes it, the other's phone falls silent."""
    customer, anna = await office.talking()
    anna.refer(where)
    boris = await office.called("102")
    await hangs_up(anna)
    vera = await office.takes("103")
    await boris.is_over()
    await hangs_up(customer, vera)
    await office.incoming(
        customer, anna, rang=InAnyOrder(["101", "102", "103"]), operators=["101", "103"], hangup_by="customer",
        transfers=[("blind", "101", where, True)], queue="support" if where == "620" else None,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["610", "620"], ids=["group", "queue"])
async def test_to_several_of_whom_nobody_answers(office: Office, where: str) -> None:
    """Asterisk lets the customer go when they have rung long enough."""
    customer, anna = await office.talking()
    anna.refer(where)
    await office.called("102")
    await hangs_up(anna)
    await customer.is_over()
    await office.incoming(
        customer, anna, rang=InAnyOrder(["101", "102", "103"]), hangup_by="system", talked_until=anna.ended_at,
        transfers=[("blind", "101", where, False)], queue="support" if where == "620" else None,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["refer", "code"])
@pytest.mark.parametrize(("status", "by"), [(486, "system"), (603, "operator")], ids=["busy", "declines"])
async def test_who_should_take_it_refuses(office: Office, way: str, status: int, by: str) -> None:
    """There is nobody to fall back to: Asterisk lets the customer go."""
    office.phones["102"].on_call = lambda talk: talk.refuse(status, "No")
    customer, anna = await office.talking()
    if way == "refer":
        anna.refer("102")
        await office.called("102")
        await hangs_up(anna)
    else:
        await anna.press("##102")
        await office.called("102")
    await customer.is_over()
    await office.incoming(
        customer, anna, hangup_by=by, transfers=[("blind", "101", "102", False)], talked_until=anna.ended_at
    )


async def test_nobody_answers_and_it_falls_back(office: Office) -> None:
    """Who transferred has the customer again: he was not handed on."""
    customer, anna = await office.talking()
    anna.refer("640")
    boris = await office.called("102")
    await hangs_up(anna)
    await boris.is_over()
    again = await office.takes("101")
    await hangs_up(again, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="operator", transfers=[("blind", "101", "640", False)]
    )


async def test_twice(office: Office) -> None:
    customer, anna = await office.talking()
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    boris.refer("103")
    vera = await office.takes("103")
    await hangs_up(boris)
    await moment()
    await hangs_up(vera, customer)
    await office.incoming(
        customer, anna, rang=["101", "102", "103"], operators=["101", "102", "103"], hangup_by="operator",
        transfers=[("blind", "101", "102", True), ("blind", "102", "103", True)],
    )  # fmt: skip


async def test_there_and_back(office: Office) -> None:
    customer, anna = await office.talking()
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    boris.refer("101")
    again = await office.takes("101")
    await hangs_up(boris)
    await moment()
    await hangs_up(customer, again)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102", "101"], hangup_by="customer",
        transfers=[("blind", "101", "102", True), ("blind", "102", "101", True)],
    )  # fmt: skip
