"""Parked customers: fetched by a colleague, given up, called back."""

from __future__ import annotations

from tests.real.office import Office, moment


async def test_parked_and_fetched(office: Office) -> None:
    customer, anna = await office.talking()
    anna.refer("700")
    await moment()
    anna.hang_up()
    await moment()
    boris = office.phones["102"].call("701")
    await boris.is_answered()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101", "102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("park", "101", "701", True)],
        notes=list(record.notes),
    )  # fmt: skip


async def test_parked_and_given_up(office: Office) -> None:
    """Time in the parking lot with nobody coming back is no talk."""
    customer, anna = await office.talking()
    parked_at = anna.phone.now()
    anna.refer("700")
    await moment()
    anna.hang_up()
    await moment()
    customer.hang_up()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("park", "101", "701", False)],
        talked_until=parked_at,
    )  # fmt: skip
