"""Operators who call: customers, each other, in vain."""

from __future__ import annotations

import pytest

from tests.real.office import Office, moment

CUSTOMER = "89161112233"


@pytest.mark.parametrize("who", ["customer", "operator"])
async def test_answered(office: Office, who: str) -> None:
    anna = office.phones["101"].call(CUSTOMER)
    customer = await office.outside.is_called()
    await moment()
    customer.answer()
    await anna.is_answered()
    await moment()
    (customer if who == "customer" else anna).hang_up()
    await anna.is_over()
    await customer.is_over()
    [record] = await office.records()
    office.assert_outgoing(
        record, anna, outcome="answered", operators=["101"], hangup_by=who, rang_at=customer.rang_at,
        answered_at=customer.answered_at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "outcome", "reason", "by"),
    [
        (486, "busy", "busy", "system"),
        (603, "no_answer", "declined", "customer"),
        (404, "failed", "unallocated", "system"),
        (503, "failed", "congestion", "system"),
    ],
)
async def test_refused(office: Office, status: int, outcome: str, reason: str, by: str) -> None:
    office.outside.on_call = lambda talk: talk.refuse(status, "No")
    anna = office.phones["101"].call(CUSTOMER)
    await anna.is_over()
    [record] = await office.records()
    office.assert_outgoing(record, anna, outcome=outcome, reason=reason, hangup_by=by)


async def test_the_operator_gives_up(office: Office) -> None:
    anna = office.phones["101"].call(CUSTOMER)
    customer = await office.outside.is_called()
    await anna.rings()
    await moment()
    anna.cancel()
    await customer.is_over()
    [record] = await office.records()
    office.assert_outgoing(
        record, anna, outcome="cancelled", reason="abandoned", hangup_by="operator", rang_at=customer.rang_at,
        ended_at=customer.ended_at,
    )  # fmt: skip


async def test_internal(office: Office) -> None:
    anna = office.phones["101"].call("102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await anna.is_answered()
    await moment()
    boris.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_internal(
        record, anna, outcome="answered", rang=["102"], operators=["102"], hangup_by="operator", rang_at=boris.rang_at,
        answered_at=boris.answered_at,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "outcome", "reason"), [(486, "busy", "busy"), (603, "no_answer", "declined")])
async def test_internal_refused(office: Office, status: int, outcome: str, reason: str) -> None:
    office.phones["102"].on_call = lambda talk: talk.refuse(status, "No")
    anna = office.phones["101"].call("102")
    await anna.is_over()
    [record] = await office.records()
    by = "operator" if status == 603 else "system"
    office.assert_internal(record, anna, outcome=outcome, reason=reason, hangup_by=by)


async def test_internal_given_up(office: Office) -> None:
    anna = office.phones["101"].call("102")
    boris = await office.called("102")
    await anna.rings()
    await moment()
    anna.cancel()
    await boris.is_over()
    [record] = await office.records()
    office.assert_internal(
        record, anna, outcome="cancelled", reason="abandoned", rang=["102"], hangup_by="operator",
        rang_at=boris.rang_at, ended_at=boris.ended_at,
    )  # fmt: skip
