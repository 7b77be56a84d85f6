"""Operators who call: customers, each other, in vain."""

from __future__ import annotations

import pytest

from tests.real.office import CUSTOMER, Office, hangs_up, moment


@pytest.mark.parametrize("who", ["customer", "operator"])
async def test_answered(office: Office, who: str) -> None:
    customer, anna = await office.calling()
    await (hangs_up(customer, anna) if who == "customer" else hangs_up(anna, customer))
    await office.outgoing(anna, customer, hangup_by=who)


@pytest.mark.parametrize(
    ("status", "outcome", "reason", "by"),
    [
        (486, "busy", "busy", "system"),
        (603, "no_answer", "declined", "customer"),
        (480, "no_answer", "no_answer", "system"),
        (404, "failed", "unallocated", "system"),
        (503, "failed", "congestion", "system"),
    ],
)
async def test_refused(office: Office, status: int, outcome: str, reason: str, by: str) -> None:
    office.outside.on_call = lambda talk: talk.refuse(status, "No")
    anna = office.phones["101"].call(CUSTOMER)
    await anna.is_over()
    await office.outgoing(anna, outcome=outcome, reason=reason, hangup_by=by)


async def test_the_customer_declines(office: Office) -> None:
    anna = office.phones["101"].call(CUSTOMER)
    customer = await office.outside.is_called()
    await moment()
    customer.refuse(603, "Decline")
    await anna.is_over()
    await office.outgoing(anna, customer, outcome="no_answer", reason="declined", hangup_by="customer")


async def test_the_operator_gives_up(office: Office) -> None:
    anna = office.phones["101"].call(CUSTOMER)
    customer = await office.outside.is_called()
    await anna.rings()
    await moment()
    await hangs_up(anna, customer)
    await office.outgoing(anna, customer, outcome="cancelled", reason="abandoned", hangup_by="operator")


async def test_internal(office: Office) -> None:
    anna = office.phones["101"].call("102")
    boris = await office.takes("102")
    await hangs_up(boris, anna)
    await office.internal(anna, boris, hangup_by="operator")


@pytest.mark.parametrize(("status", "outcome", "reason"), [(486, "busy", "busy"), (603, "no_answer", "declined")])
async def test_internal_refused(office: Office, status: int, outcome: str, reason: str) -> None:
    office.phones["102"].on_call = lambda talk: talk.refuse(status, "No")
    anna = office.phones["101"].call("102")
    await anna.is_over()
    by = "operator" if status == 603 else "system"
    await office.internal(anna, outcome=outcome, reason=reason, hangup_by=by)


async def test_internal_given_up(office: Office) -> None:
    anna = office.phones["101"].call("102")
    boris = await office.called("102")
    await anna.rings()
    await moment()
    await hangs_up(anna, boris)
    await office.internal(anna, boris, outcome="cancelled", reason="abandoned", hangup_by="operator")
