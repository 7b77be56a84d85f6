"""Who makes a customer wait, as an operator's phone does it and as Asterisk does it for him."""

from __future__ import annotations

import asyncio

import pytest

from amibridge.calls.facts import CallHeld, CallResumed
from tests.real.office import ANNA, MERGED, Office, hangs_up, moment
from tests.real.test_transfers_attended import SORRY, consulting

HELD, RESUMED = "call.held", "call.resumed"


def holds(office: Office) -> list[tuple[str, str]]:
    """Who held and took back, as the daemon hears it; whoever may hear Asterisk's Hold hears the same."""
    told = [
        [(fact.word, str(fact.extension)) for fact in one.facts if isinstance(fact, CallHeld | CallResumed)]
        for one in office.listeners
    ]
    assert all(told[0] == other for one, other in zip(office.listeners, told, strict=True) if one.account != "minimal")
    return told[0]


async def test_by_the_operator(office: Office) -> None:
    """Twice, and her phone says it again meanwhile."""
    customer, anna = await office.talking()
    for _ in range(2):
        anna.hold()
        await moment()
        anna.hold()
        await moment()
        anna.unhold()
        await moment()
    await hangs_up(anna, customer)
    await office.incoming(customer, anna, hangup_by="operator")
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")] * 2


async def test_by_the_customer(office: Office) -> None:
    """That is none of ours."""
    customer, anna = await office.talking()
    customer.hold()
    await moment()
    customer.unhold()
    await moment()
    await hangs_up(anna, customer)
    await office.incoming(customer, anna, hangup_by="operator")
    assert holds(office) == []


async def test_of_a_customer_who_was_called(office: Office) -> None:
    customer, anna = await office.calling()
    anna.hold()
    await moment()
    await hangs_up(customer, anna)
    await office.outgoing(anna, customer, hangup_by="customer")
    assert holds(office)[:1] == [(HELD, "101")]


async def test_of_a_colleague_by_a_colleague(office: Office) -> None:
    anna = office.phones["101"].call("102")
    boris = await office.takes("102")
    boris.hold()
    await moment()
    boris.unhold()
    await moment()
    anna.hold()
    await moment()
    await hangs_up(anna, boris)
    await office.internal(anna, boris, hangup_by="operator")
    assert holds(office)[:3] == [(HELD, "102"), (RESUMED, "102"), (HELD, "101")]


async def test_asked_by_a_second_call(office: Office) -> None:
    customer, anna = await office.talking()
    consult, boris = await consulting(office, anna)
    assert holds(office) == [(HELD, "101")]
    anna.refer_to(consult)
    await consult.is_over()
    await hangs_up(anna)
    await moment()
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")]
    boris.hold()
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)], notes=[MERGED],
    )  # fmt: skip
    assert holds(office)[2:3] == [(HELD, "102")]


@pytest.mark.parametrize("way", ["code", "action"])
async def test_asked_by_the_pbx(office: Office, way: str) -> None:
    """Asterisk itself keeps the customer waiting while Anna presses keys and asks."""
    customer, anna = await office.talking()
    await _asks(office, way)
    boris = await office.takes("102")
    assert holds(office) == [(HELD, "101")]
    await hangs_up(anna)
    await moment()
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")]
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("way", ["code", "action"])
async def test_asked_by_the_pbx_in_vain(office: Office, way: str) -> None:
    """Of the end of that Asterisk says nothing, but for where Anna is."""
    customer, anna = await office.talking()
    await _asks(office, way)
    boris = await office.takes("102")
    await hangs_up(boris)
    await asyncio.sleep(SORRY)
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")]
    anna.hold()
    await moment()
    assert holds(office) == [(HELD, "101"), (RESUMED, "101"), (HELD, "101")]
    anna.unhold()
    await moment()
    await hangs_up(anna, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], hangup_by="operator", transfers=[("attended", "101", "102", False)]
    )
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")] * 2


async def test_the_link_is_away_meanwhile(office: Office) -> None:
    """Whether he still waits is not known then: the quieter is assumed."""
    customer, anna = await office.talking()
    anna.hold()
    await moment()
    await office.goes_deaf()
    await moment()
    await office.hears_again()
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")]
    anna.unhold()
    await moment()
    await hangs_up(customer, anna)
    [record] = await office.records(to_the_moment=False)
    assert record.line == ANNA
    assert holds(office) == [(HELD, "101"), (RESUMED, "101")]


async def _asks(office: Office, way: str) -> None:
    [anna] = [talk for talk in office.phones["101"].talks.values() if not talk.ended.is_set()]
    if way == "code":
        await anna.press("*2102")
    else:
        await office.asks("Atxfer", Channel=office.channel_of("101"), Context="from-internal", Exten="102")
