"""Calls that change hands without a transfer: parked and fetched, or taken from a colleague's ringing phone."""

from __future__ import annotations

import pytest

from tests.real.office import ANNA, InAnyOrder, Office, hangs_up, moment
from tests.real.talk import Talk

QUEUE = "74951110016"


async def park(anna: Talk, way: str) -> None:
    """Her phone parks by REFER to the lot, or she presses the feature code."""
    if way == "refer":
        anna.refer("700")
        await moment()
        await hangs_up(anna)
    else:
        await anna.press("#72")
        await anna.is_over()


@pytest.mark.parametrize("way", ["refer", "code"])
async def test_parked_and_fetched_by_a_colleague(office: Office, way: str) -> None:
    customer, anna = await office.talking()
    await park(anna, way)
    boris = office.phones["102"].call("701")
    await boris.is_answered()
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, operators=["101", "102"], hangup_by="customer", transfers=[("park", "101", "701", True)],
    )  # fmt: skip


async def test_parked_and_fetched_by_who_parked(office: Office) -> None:
    customer, anna = await office.talking()
    await park(anna, "refer")
    again = office.phones["101"].call("701")
    await again.is_answered()
    await moment()
    await hangs_up(again, customer)
    await office.incoming(customer, anna, hangup_by="operator", transfers=[("park", "101", "701", True)])


async def test_parked_and_given_up(office: Office) -> None:
    """Time in the parking lot with nobody coming back is no talk."""
    customer, anna = await office.talking()
    parked_at = anna.phone.now()
    await park(anna, "refer")
    await moment()
    await hangs_up(customer)
    await office.incoming(
        customer, anna, hangup_by="customer", transfers=[("park", "101", "701", False)], talked_until=parked_at
    )


async def test_parked_and_nobody_comes_so_the_parker_is_called_back(office: Office) -> None:
    customer, anna = await office.talking()
    await park(anna, "refer")
    again = await office.takes("101")
    await hangs_up(customer, again)
    await office.incoming(customer, anna, hangup_by="customer", transfers=[("park", "101", "701", True)])


async def test_parked_and_nobody_comes_at_all(office: Office) -> None:
    """The parker is called back and does not answer either."""
    customer, anna = await office.talking()
    parked_at = anna.phone.now()
    await park(anna, "refer")
    again = await office.called("101")
    await moment()
    await hangs_up(customer, again)
    await office.incoming(
        customer, anna, hangup_by="customer", transfers=[("park", "101", "701", False)], talked_until=parked_at
    )


async def test_a_customer_who_was_called_is_parked_and_fetched(office: Office) -> None:
    customer, anna = await office.calling()
    await park(anna, "refer")
    boris = office.phones["102"].call("701")
    await boris.is_answered()
    await moment()
    await hangs_up(boris, customer)
    await office.outgoing(
        anna, customer, rang=[], operators=["101", "102"], hangup_by="operator",
        transfers=[("park", "101", "701", True)], ended_at=customer.ended_at,
    )  # fmt: skip


@pytest.mark.parametrize("code", ["*8", "*8101"], ids=["group", "directed"])
async def test_picked_up(office: Office, code: str) -> None:
    """Credit goes to the one who picked up."""
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await moment()
    boris = office.phones["102"].call(code)
    await boris.is_answered()
    await anna.is_over()
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, outcome="answered", operators=["102"], hangup_by="customer", answered_at=boris.answered_at,
        transfers=[("pickup", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("code", ["*8", "*8101"], ids=["group", "directed"])
async def test_a_call_of_a_queue_is_picked_up(office: Office, code: str) -> None:
    """By somebody who is no member of it."""
    customer = office.customer(QUEUE)
    anna, boris = await office.called("101"), await office.called("102")
    await moment()
    vera = office.phones["103"].call(code)
    await vera.is_answered()
    await anna.is_over()
    await boris.is_over()
    await moment()
    await hangs_up(vera, customer)
    [record] = await office.records()
    [pickup] = record.transfers
    office.assert_incoming(
        record, customer, anna, outcome="answered", queue="everybody", rang=InAnyOrder(["101", "102"]),
        operators=["103"], hangup_by="operator", answered_at=vera.answered_at,
        transfers=[("pickup", pickup.from_ if code == "*8" else "101", "103", True)],
    )  # fmt: skip
    assert pickup.from_ in ("101", "102")


async def test_a_call_for_a_group_is_picked_up(office: Office) -> None:
    customer = office.customer("74951110003")
    anna, boris = await office.called("101"), await office.called("102")
    await moment()
    vera = office.phones["103"].call("*8102")
    await vera.is_answered()
    await anna.is_over()
    await boris.is_over()
    await moment()
    await hangs_up(customer, vera)
    await office.incoming(
        customer, anna, outcome="answered", rang=InAnyOrder(["101", "102"]), operators=["103"], hangup_by="customer",
        answered_at=vera.answered_at, transfers=[("pickup", "102", "103", True)],
    )  # fmt: skip


async def test_there_was_nothing_to_pick_up(office: Office) -> None:
    """A feature code that came to nothing is no call."""
    vera = office.phones["103"].call("*8")
    await vera.is_over()
    await office.records(0)


async def test_a_colleagues_call_is_picked_up(office: Office) -> None:
    """Between colleagues it is an internal call."""
    anna = office.phones["101"].call("102")
    boris = await office.called("102")
    await moment()
    vera = office.phones["103"].call("*8102")
    await vera.is_answered()
    await boris.is_over()
    await moment()
    await hangs_up(vera, anna)
    await office.internal(
        anna, boris, outcome="answered", operators=["103"], hangup_by="operator", answered_at=vera.answered_at,
        transfers=[("pickup", "102", "103", True)],
    )  # fmt: skip
