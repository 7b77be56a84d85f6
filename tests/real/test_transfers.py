"""An operator hands his customer on: blind, after asking, to a colleague, to outside, in vain."""

from __future__ import annotations

import asyncio
import re

import pytest

from amibridge.ami.actions import Action
from tests.real.office import Office, moment
from tests.real.talk import Talk

MOBILE = "89160000077"


async def talking(office: Office, line: str = "74951110001") -> tuple[Talk, Talk]:
    """A customer and Anna in conversation."""
    customer = office.customer(line)
    anna = await office.called("101")
    await moment()
    anna.answer()
    await customer.is_answered()
    await moment()
    return customer, anna


async def calling(office: Office) -> tuple[Talk, Talk]:
    """Anna and a customer whom she called, in conversation."""
    anna = office.phones["101"].call("89161112233")
    customer = await office.outside.is_called()
    await moment()
    customer.answer()
    await anna.is_answered()
    await moment()
    return customer, anna


async def test_blind_by_refer(office: Office) -> None:
    customer, anna = await talking(office)
    anna.refer("102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    anna.hang_up()
    await moment()
    boris.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_blind_by_feature_code(office: Office) -> None:
    customer, anna = await talking(office)
    await anna.press("##102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


@pytest.mark.parametrize("action", ["BlindTransfer", "Redirect"])
async def test_blind_by_action(office: Office, action: str) -> None:
    """`Redirect` sends no event of a transfer."""
    customer, anna = await talking(office)
    headers = (("Channel", channel_of(office, "trunk")), ("Context", "from-internal"), ("Exten", "102"))
    if action == "BlindTransfer":
        headers = (("Channel", channel_of(office, "101")), *headers[1:])
    await office.ear.send(Action(action, (*headers, ("Priority", "1"))))
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("blind", "101", "102", True)],
    )  # fmt: skip


async def test_blind_to_a_mobile(office: Office) -> None:
    customer, anna = await talking(office)
    anna.refer(MOBILE)
    mobile = await office.outside.is_called()
    anna.hang_up()
    await moment()
    mobile.answer()
    await moment()
    mobile.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101", MOBILE], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("blind", "101", MOBILE, True)],
    )  # fmt: skip


async def test_blind_and_nobody_answers(office: Office) -> None:
    """The talk ended when Anna left; that the customer waited longer is no talk."""
    customer, anna = await talking(office)
    anna.refer("102")
    boris = await office.called("102")
    anna.hang_up()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("blind", "101", "102", False)],
        talked_until=anna.ended_at,
    )  # fmt: skip


async def test_blind_of_a_customer_who_was_called(office: Office) -> None:
    customer, anna = await calling(office)
    anna.refer("102")
    boris = await office.called("102")
    anna.hang_up()
    await moment()
    boris.answer()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_outgoing(
        record, anna, outcome="answered", rang=["102"], operators=["101", "102"], hangup_by="customer",
        rang_at=customer.rang_at, answered_at=customer.answered_at, transfers=[("blind", "101", "102", True)],
        ended_at=customer.ended_at,
    )  # fmt: skip


async def test_blind_of_a_customer_who_was_called_and_nobody_answers(office: Office) -> None:
    customer, anna = await calling(office)
    anna.refer("102")
    boris = await office.called("102")
    anna.hang_up()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_outgoing(
        record, anna, outcome="answered", rang=["102"], operators=["101"], hangup_by="customer",
        rang_at=customer.rang_at, answered_at=customer.answered_at, transfers=[("blind", "101", "102", False)],
        talked_until=anna.ended_at, ended_at=customer.ended_at,
    )  # fmt: skip


async def test_attended_by_refer(office: Office) -> None:
    customer, anna = await talking(office)
    anna.hold()
    consult = office.phones["101"].call("102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await consult.is_answered()
    await moment()
    anna.refer_to(consult)
    await consult.is_over()
    anna.hang_up()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("attended", "101", "102", True)],
        notes=list(record.notes),
    )  # fmt: skip
    assert len(record.notes) == 1
    assert record.notes[0].startswith("merged ")


async def test_attended_by_feature_code(office: Office) -> None:
    customer, anna = await talking(office)
    await anna.press("*2102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    anna.hang_up()
    await moment()
    boris.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


async def test_attended_by_action(office: Office) -> None:
    customer, anna = await talking(office)
    headers = (
        ("Channel", channel_of(office, "101")),
        ("Context", "from-internal"),
        ("Exten", "102"),
        ("Priority", "1"),
    )
    await office.ear.send(Action("Atxfer", headers))
    boris = await office.called("102")
    await moment()
    boris.answer()
    await moment()
    anna.hang_up()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101", "102"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("attended", "101", "102", True)],
    )  # fmt: skip


async def test_attended_and_declined(office: Office) -> None:
    """The colleague does not want it: the customer is back with Anna, and stays hers."""
    customer, anna = await talking(office)
    await anna.press("*2102")
    boris = await office.called("102")
    await moment()
    boris.refuse(486)
    await asyncio.sleep(1)  # Anna is told, and led back
    customer.hang_up()
    await anna.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101", "102"], operators=["101"], hangup_by="customer",
        rang_at=anna.rang_at, answered_at=anna.answered_at, transfers=[("attended", "101", "102", False)],
    )  # fmt: skip


async def test_attended_of_a_customer_who_was_called(office: Office) -> None:
    customer, anna = await calling(office)
    anna.hold()
    consult = office.phones["101"].call("102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await consult.is_answered()
    await moment()
    anna.refer_to(consult)
    await consult.is_over()
    anna.hang_up()
    await moment()
    boris.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_outgoing(
        record, anna, outcome="answered", rang=["102"], operators=["101", "102"], hangup_by="operator",
        rang_at=customer.rang_at, answered_at=customer.answered_at, transfers=[("attended", "101", "102", True)],
        notes=list(record.notes), ended_at=customer.ended_at,
    )  # fmt: skip


async def test_the_consultation_is_older_than_the_call(office: Office) -> None:
    """Anna talks with Boris when the customer calls; Asterisk then gives the customer's channel their Linkedid."""
    first = office.phones["101"].call("102")
    boris = await office.called("102")
    await moment()
    boris.answer()
    await first.is_answered()
    first.hold()
    await moment()
    customer, anna = await talking(office)
    anna.refer_to(first)
    await first.is_over()
    anna.hang_up()
    await moment()
    customer.hang_up()
    await boris.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=list(record.rang), operators=["101", "102"], hangup_by="customer",
        rang_at=record.rang_at, answered_at=anna.answered_at, transfers=[("attended", "101", "102", True)],
        notes=list(record.notes),
    )  # fmt: skip


async def test_held_and_taken_back(office: Office) -> None:
    customer, anna = await talking(office)
    anna.hold()
    await moment()
    anna.unhold()
    await moment()
    anna.hang_up()
    await customer.is_over()
    [record] = await office.records()
    office.assert_incoming(
        record, customer, outcome="answered", rang=["101"], operators=["101"], hangup_by="operator",
        rang_at=anna.rang_at, answered_at=anna.answered_at,
    )  # fmt: skip


def channel_of(office: Office, endpoint: str) -> str:
    """The latest channel of that endpoint."""
    channels = re.findall(rb"^Channel: (\w+/%s-\w+)\r$" % endpoint.encode(), office.ear.bytes, re.MULTILINE)
    latest: bytes = channels[-1]
    return latest.decode()
