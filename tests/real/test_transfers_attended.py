"""An operator asks a colleague before he hands his customer on, or hands him on while it still rings there."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.real.office import MERGED, MOBILE, InAnyOrder, Office, hangs_up, moment
from tests.real.talk import Talk

SORRY = 1
"""Seconds in which Asterisk tells an operator that nobody comes, and leads him back to his customer."""


async def consulting(office: Office, anna: Talk, whom: str = "102") -> tuple[Talk, Talk]:
    """Anna's customer waits while she talks with a colleague: her own half of that, and his."""
    anna.hold()
    consult = office.phones["101"].call(whom)
    colleague = await office.takes(whom)
    return consult, colleague


async def test_by_refer(office: Office) -> None:
    customer, anna = await office.talking()
    consult, boris = await consulting(office, anna)
    anna.refer_to(consult)
    await consult.is_over()
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)], notes=[MERGED],
    )  # fmt: skip


async def test_by_feature_code(office: Office) -> None:
    customer, anna = await office.talking()
    await anna.press("*2102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await moment()
    await hangs_up(boris, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="operator",
        transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


async def test_by_action(office: Office) -> None:
    customer, anna = await office.talking()
    await office.asks("Atxfer", Channel=office.channel_of("101"), Context="from-internal", Exten="102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


async def test_of_a_customer_who_was_called(office: Office) -> None:
    customer, anna = await office.calling()
    consult, boris = await consulting(office, anna)
    anna.refer_to(consult)
    await consult.is_over()
    await hangs_up(anna)
    await moment()
    await hangs_up(boris, customer)
    await office.outgoing(
        anna, customer, rang=["102"], operators=["101", "102"], hangup_by="operator",
        transfers=[("attended", "101", "102", True)], notes=[MERGED], ended_at=customer.ended_at,
    )  # fmt: skip


async def test_the_consultation_is_older_than_the_call(office: Office) -> None:
    """Anna talks with Boris when the customer calls; Asterisk then gives the customer's channel their Linkedid."""
    first = office.phones["101"].call("102")
    boris = await office.takes("102")
    first.hold()
    customer, anna = await office.talking()
    anna.refer_to(first)
    await first.is_over()
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["102", "101"], rang_at=boris.rang_at, operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)], notes=[MERGED],
    )  # fmt: skip


async def test_to_a_mobile(office: Office) -> None:
    customer, anna = await office.talking()
    anna.hold()
    consult = office.phones["101"].call(MOBILE)
    mobile = await office.takes("trunk")
    anna.refer_to(consult)
    await consult.is_over()
    await hangs_up(anna)
    await moment()
    await hangs_up(mobile, customer)
    await office.incoming(
        customer, anna, operators=["101", MOBILE], hangup_by="operator", transfers=[("attended", "101", MOBILE, True)],
        notes=[MERGED],
    )  # fmt: skip


@pytest.mark.parametrize("where", ["610", "620"], ids=["group", "queue"])
async def test_to_several(office: Office, where: str) -> None:
    """Whoever of a group or a queue answered the question has the customer."""
    customer, anna = await office.talking()
    anna.hold()
    consult = office.phones["101"].call(where)
    vera = await office.takes("103")
    anna.refer_to(consult)
    await consult.is_over()
    await hangs_up(anna)
    await moment()
    await hangs_up(vera, customer)
    await office.incoming(
        customer, anna, rang=InAnyOrder(["101", "102", "103"]), operators=["101", "103"], hangup_by="operator",
        transfers=[("attended", "101", "103", True)], notes=[MERGED],
    )  # fmt: skip


@pytest.mark.parametrize("way", ["refer", "code"])
async def test_while_it_still_rings(office: Office, way: str) -> None:
    """ "Blond": Anna does not wait for the answer."""
    customer, anna = await office.talking()
    boris, _ = await blond(office, anna, way)
    await moment()
    boris.answer()
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)], notes=[MERGED] if way == "refer" else [],
    )  # fmt: skip


@pytest.mark.parametrize("way", ["refer", "code"])
async def test_while_it_still_rings_and_the_customer_gives_up(office: Office, way: str) -> None:
    customer, anna = await office.talking()
    boris, left_at = await blond(office, anna, way)
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="customer", transfers=[("attended", "101", "102", False)],
        talked_until=left_at, notes=[MERGED] if way == "refer" else [],
    )  # fmt: skip


async def test_while_it_still_rings_and_she_is_called_back(office: Office) -> None:
    """Nobody answers: Asterisk gives the customer back to who wanted to hand him on."""
    customer, anna = await office.talking()
    boris, _ = await blond(office, anna, "code")
    await boris.is_over()
    again = await called_back(office)
    again.answer()
    await moment()
    await hangs_up(again, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="operator", transfers=[("attended", "101", "102", False)]
    )


async def test_while_it_still_rings_and_she_is_called_back_in_vain(office: Office) -> None:
    """Her phone is rung by Asterisk itself, by nobody's channel: that is no call of its own."""
    customer, anna = await office.talking()
    boris, left_at = await blond(office, anna, "code")
    await boris.is_over()
    again = await called_back(office)
    await hangs_up(customer, again)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="customer", transfers=[("attended", "101", "102", False)],
        talked_until=left_at,
    )  # fmt: skip


@pytest.mark.parametrize("status", [486, 603], ids=["busy", "declines"])
async def test_by_feature_code_and_he_does_not_want_it(office: Office, status: int) -> None:
    """The customer is back with Anna, and stays hers."""
    customer, anna = await office.talking()
    await anna.press("*2102")
    boris = await office.called("102")
    await moment()
    boris.refuse(status, "No")
    await asyncio.sleep(SORRY)
    await hangs_up(customer, anna)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="customer", transfers=[("attended", "101", "102", False)]
    )


async def test_by_feature_code_and_she_takes_him_back(office: Office) -> None:
    """Boris answers, says no and hangs up."""
    customer, anna = await office.talking()
    await anna.press("*2102")
    boris = await office.takes("102")
    await hangs_up(boris)
    await asyncio.sleep(SORRY)
    await hangs_up(anna, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="operator", transfers=[("attended", "101", "102", False)]
    )


@pytest.mark.parametrize("says", ["no", "nothing"])
async def test_by_a_second_call_and_she_takes_him_back(office: Office, says: str) -> None:
    """Her phone held the one and called the other: for Asterisk, and so for us, these are two calls."""
    customer, anna = await office.talking()
    anna.hold()
    consult = office.phones["101"].call("102")
    if says == "no":
        boris = await office.takes("102")
        await hangs_up(boris, consult)
    else:
        boris = await office.called("102")
        await moment()
        boris.refuse(603, "Decline")
        await consult.is_over()
    anna.unhold()
    await moment()
    await hangs_up(customer, anna)
    internal, incoming = await office.records(2)
    office.assert_incoming(incoming, customer, anna, hangup_by="customer")
    if says == "no":
        office.assert_internal(internal, consult, boris, hangup_by="operator")
    else:
        office.assert_internal(internal, consult, boris, outcome="no_answer", reason="declined", hangup_by="operator")


async def blond(office: Office, anna: Talk, way: str) -> tuple[Talk, datetime]:
    """Anna hands her customer on to Boris, whose phone rings: it, and when she left the customer."""
    if way == "code":
        await anna.press("*2102")
        boris = await office.called("102")
        await moment()
        await hangs_up(anna)
        return boris, boris.began_at
    anna.hold()
    consult = office.phones["101"].call("102")
    boris = await office.called("102")
    await consult.rings()
    await moment()
    anna.refer_to(consult)
    left_at = anna.phone.now()
    await consult.is_over()
    await hangs_up(anna)
    return boris, left_at


async def called_back(office: Office) -> Talk:
    """Anna's phone rings. Asterisk 16 at times gives that up at once, and tries Boris before it tries her again."""
    while True:
        talk = await office.called("101")
        await moment()
        if not talk.ended.is_set():
            return talk
