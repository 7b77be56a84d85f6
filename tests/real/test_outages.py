"""The link or the PBX goes away in the middle of a call: it is settled once, honestly, and never stays open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amibridge.calls.record import CallRecord
from tests.real.office import ANNA, Office, hangs_up, moment
from tests.real.talk import Talk

BLIND = "the link to the PBX was down for a part of the call"


async def told(office: Office, customer: Talk, anna: Talk, **fields: Any) -> CallRecord:
    """The one call, a part of which was not seen; its notes say so."""
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(record, customer, anna, complete=False, notes=list(record.notes), **fields)
    assert BLIND in record.notes
    return record


async def test_the_link_is_away_for_a_part_of_a_call(office: Office) -> None:
    customer, anna = await office.talking()
    await office.goes_deaf()
    await moment()
    await office.hears_again()
    await moment()
    await hangs_up(customer, anna)
    record = await told(office, customer, anna, hangup_by="customer")
    assert record.notes == (BLIND,)


async def test_the_link_is_away_again_and_again(office: Office) -> None:
    customer, anna = await office.talking()
    for _ in range(3):
        await office.goes_deaf()
        await office.hears_again()
        await moment()
    await hangs_up(customer, anna)
    record = await told(office, customer, anna, hangup_by="customer")
    assert record.notes == (BLIND,)


async def test_the_call_ends_while_the_link_is_away(office: Office) -> None:
    customer, anna = await office.talking()
    await office.goes_deaf()
    away_since = office.outside.now()
    await hangs_up(customer, anna)
    await moment()
    await office.hears_again()
    await told(office, customer, anna, ended_at=away_since)


async def test_it_is_answered_while_the_link_is_away(office: Office) -> None:
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await moment()
    await office.goes_deaf()
    anna.answer()
    await moment()
    await office.hears_again()
    back_at = office.outside.now()
    await moment()
    await hangs_up(anna, customer)
    await told(office, customer, anna, hangup_by="operator", answered_at=back_at)


async def test_it_is_missed_while_the_link_is_away(office: Office) -> None:
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await moment()
    await office.goes_deaf()
    away_since = office.outside.now()
    await hangs_up(customer, anna)
    await moment()  # until no snapshot shows it
    await office.hears_again()
    await told(office, customer, anna, outcome="missed", reason="abandoned", hangup_by="customer", ended_at=away_since)


async def test_he_is_handed_on_while_the_link_is_away(office: Office) -> None:
    """The transfer was not seen; that another one talks with him is."""
    customer, anna = await office.talking()
    await office.goes_deaf()
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await office.hears_again()
    await moment()
    await hangs_up(customer, boris)
    await told(office, customer, anna, operators=["101", "102"], hangup_by="customer")


async def test_a_call_that_was_there_before_us(office: Office) -> None:
    await office.goes_deaf()
    customer, anna = await office.talking()
    await office.hears_again()
    back_at = office.outside.now()
    await moment()
    await hangs_up(customer, anna)
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(
        record, customer, anna, rang=[], rang_at=None, answered_at=back_at, hangup_by="customer", complete=False,
        started_at=record.started_at, notes=["first seen when it was already under way"],
    )  # fmt: skip
    assert abs((record.started_at - customer.began_at).total_seconds()) < 2  # Asterisk shows whole seconds


async def test_a_call_of_which_nothing_was_seen(office: Office) -> None:
    """No snapshot shows it: it is in Asterisk's own records only."""
    await office.goes_deaf()
    customer, anna = await office.talking()
    await hangs_up(customer, anna)
    await moment()
    await office.hears_again()
    await office.records(0)


@pytest.mark.parametrize("state", ["talking", "ringing", "queue"])
async def test_the_pbx_is_killed_and_comes_back(office: Office, state: str) -> None:
    customer = office.customer("74951110016" if state == "queue" else ANNA)
    anna = await office.called("101")
    await moment()
    if state == "talking":
        anna.answer()
        await moment()
    await office.asterisk.kill()
    killed_at = office.outside.now()
    await moment()
    await office.asterisk.start()
    await office.hears_again()
    if state == "talking":
        await told(office, customer, anna, ended_at=killed_at)
    else:
        [record] = await office.records(to_the_moment=False)
        assert (record.outcome, record.complete, "101" in record.rang) == ("missed", False, True)
        assert BLIND in record.notes


@pytest.mark.parametrize("way", ["systemctl restart", "core stop now"])
async def test_the_pbx_is_stopped(office: Office, way: str) -> None:
    """It hangs up for everybody before it goes."""
    customer, anna = await office.talking()
    stopped_at = office.outside.now()
    if way == "core stop now":
        await office.asterisk.cli(way)
        await office.asterisk.is_gone()
    else:
        await office.asterisk.stop()
    await customer.is_over()
    await office.asterisk.start()
    await office.hears_again()
    [record] = await office.records(to_the_moment=False)
    office.assert_incoming(
        record, customer, anna, hangup_by=record.hangup_by, ended_at=stopped_at, notes=list(record.notes),
        complete=record.complete,
    )  # fmt: skip


async def test_the_pbx_is_stopped_gracefully(office: Office) -> None:
    """It takes no new calls and goes when the last one is over: nothing is lost."""
    customer, anna = await office.talking()
    stopping = asyncio.create_task(office.asterisk.cli("core stop gracefully"), name="stopping")
    await moment()
    late = office.customer(ANNA, "79160000002")
    await late.is_over()
    await hangs_up(customer, anna)
    await stopping
    await office.asterisk.is_gone()
    await office.incoming(customer, anna, hangup_by="customer", to_the_moment=False)
    await office.asterisk.start()
    await office.hears_again()
    await office.records(to_the_moment=False)


async def test_the_manager_is_reloaded(office: Office) -> None:
    """`module reload manager`, `core reload`: the links stay, and so do the calls."""
    customer, anna = await office.talking()
    await office.asterisk.cli("module reload manager")
    await office.asterisk.cli("core reload")
    anna.refer("102")
    boris = await office.takes("102")
    await hangs_up(anna)
    await hangs_up(boris, customer)
    await office.incoming(
        customer, anna, rang=["101", "102"], operators=["101", "102"], hangup_by="operator",
        transfers=[("blind", "101", "102", True)],
    )  # fmt: skip
