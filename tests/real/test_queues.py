"""Queues: members one after another, all at once, behind Local channels, and customers who do not wait."""

from __future__ import annotations

import pytest

from tests.real.office import MOBILE, InAnyOrder, Office, hangs_up, moment

ONE_BY_ONE = "74951110006"
LOCAL_MEMBERS = "74951110005"
EVERYBODY = "74951110016"
MENU = "74951110021"
OVERFLOWING = "74951110022"
PENALTIES = "74951110023"
PATIENT = "74951110024"


@pytest.mark.parametrize(
    ("line", "queue"), [(ONE_BY_ONE, "one-by-one"), (LOCAL_MEMBERS, "local-members")], ids=["phones", "Local"]
)
async def test_the_second_member_takes_it(office: Office, line: str, queue: str) -> None:
    """FreePBX's members are phones behind Local channels that stay for the whole call."""
    customer = office.customer(line)
    anna = await office.called("101")
    await anna.is_over()
    boris = await office.takes("102")
    await moment()
    await hangs_up(customer, boris)
    await office.incoming(
        customer, anna, outcome="answered", queue=queue, rang=["101", "102"], operators=["102"], hangup_by="customer",
        answered_at=boris.answered_at,
    )  # fmt: skip


@pytest.mark.parametrize("status", [486, 603, 480], ids=["busy", "declines", "does not disturb"])
async def test_the_first_member_refuses(office: Office, status: int) -> None:
    customer = office.customer(PATIENT)
    anna = await office.called("101")
    await moment()
    anna.refuse(status, "No")
    boris = await office.takes("102")
    await hangs_up(boris, customer)
    await office.incoming(
        customer, anna, outcome="answered", queue="patient", rang=["101", "102"], operators=["102"],
        hangup_by="operator", answered_at=boris.answered_at,
    )  # fmt: skip


async def test_the_first_member_is_busy_and_does_not_ring(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(486)
    customer = office.customer(PATIENT)
    boris = await office.takes("102")
    await hangs_up(customer, boris)
    await office.incoming(customer, boris, queue="patient", hangup_by="customer")


async def test_the_better_member_cannot_be_had(office: Office) -> None:
    """Penalties: Boris is called only as long as Anna talks with somebody."""
    first, anna = await office.talking(PENALTIES, "79161110001")
    second = office.customer(PENALTIES, "79161110002")
    boris = await office.takes("102")
    await hangs_up(boris, second)
    await moment()
    await hangs_up(first, anna)
    two, one = await office.records(2)
    office.assert_incoming(two, second, boris, queue="penalties", hangup_by="operator")
    office.assert_incoming(one, first, anna, queue="penalties", hangup_by="customer")


async def test_a_members_phone_forwards_to_a_colleague(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward("103")
    customer = office.customer(PATIENT)
    vera = await office.takes("103")
    await moment()
    await hangs_up(customer, vera)
    await office.incoming(
        customer, vera, queue="patient", hangup_by="customer", transfers=[("forward", "101", "103", True)]
    )


async def test_a_members_phone_forwards_to_a_mobile(office: Office) -> None:
    office.phones["101"].on_call = lambda talk: talk.forward(MOBILE)
    customer = office.customer(PATIENT)
    mobile = await office.takes("trunk")
    await moment()
    await hangs_up(mobile, customer)
    await office.incoming(
        customer, mobile, queue="patient", operators=[MOBILE], hangup_by="operator",
        transfers=[("forward", "101", MOBILE, True)],
    )  # fmt: skip


async def test_the_customer_gives_up_waiting(office: Office) -> None:
    customer = office.customer(ONE_BY_ONE)
    anna = await office.called("101")
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(
        customer, anna, outcome="missed", reason="abandoned", queue="one-by-one", hangup_by="customer"
    )


async def test_the_queue_gives_up(office: Office) -> None:
    """However many members did not pick up: one missed call."""
    customer = office.customer("74951110013")
    anna = await office.called("101")
    boris = await office.called("102")
    await customer.is_over()
    await boris.is_over()
    await office.incoming(
        customer, anna, outcome="missed", reason="queue_timeout", queue="one-by-one", rang=["101", "102"],
        hangup_by="system",
    )  # fmt: skip


async def test_no_member_is_there(office: Office) -> None:
    customer = office.customer("74951110026")
    await customer.is_over()
    await office.incoming(customer, outcome="missed", reason="queue_timeout", queue="nobody", hangup_by="system")


async def test_through_the_menu_and_one_queue_into_another(office: Office) -> None:
    """The queue that offered the call to who took it."""
    customer = office.customer(MENU)
    await customer.is_answered()
    await moment()
    await customer.press("2")
    anna = await office.called("101")
    await anna.is_over()
    vera = await office.takes("103")
    await moment()
    await hangs_up(customer, vera)
    record = await office.incoming(
        customer, anna, outcome="answered", queue="support", rang=InAnyOrder(["101", "102", "103"]), operators=["103"],
        hangup_by="customer", answered_at=vera.answered_at,
    )  # fmt: skip
    assert record.rang[0] == "101"


async def test_through_two_queues_into_voicemail(office: Office) -> None:
    """What answers him after the queues, AMI does not say: he was up all the time."""
    office.disregard("minimal")  # Asterisk 16 gives either end of it the same cause
    customer = office.customer(OVERFLOWING)
    anna = await office.called("101")
    vera = await office.called("103")
    await vera.is_over()
    await moment()
    await moment()
    await hangs_up(customer)
    record = await office.incoming(
        customer, anna, outcome="missed", reason="queue_timeout", queue="support",
        rang=InAnyOrder(["101", "102", "103"]), hangup_by="customer",
    )  # fmt: skip
    assert record.rang[0] == "101"


async def test_given_up_in_the_second_queue(office: Office) -> None:
    customer = office.customer(OVERFLOWING)
    anna = await office.called("101")
    vera = await office.called("103")
    await hangs_up(customer, vera)
    await office.incoming(
        customer, anna, outcome="missed", reason="abandoned", queue="support",
        rang=InAnyOrder(["101", "102", "103"]), hangup_by="customer",
    )  # fmt: skip


async def test_two_customers_in_one_queue(office: Office) -> None:
    one = office.customer(EVERYBODY, number="79161110001")
    anna, boris = await office.called("101"), await office.called("102")
    two = office.customer(EVERYBODY, number="79161110002")
    await moment()
    anna.answer()
    await boris.is_over()
    again = await office.takes("102")
    await hangs_up(one, anna)
    await moment()
    await hangs_up(again, two)
    first, second = await office.records(2)
    office.assert_incoming(first, one, anna, queue="everybody", rang=InAnyOrder(["101", "102"]), hangup_by="customer")
    office.assert_incoming(second, two, again, queue="everybody", hangup_by="operator")


async def test_a_colleague_calls_the_queue(office: Office) -> None:
    """An internal call, whatever it goes through."""
    vera = office.phones["103"].call("600")
    anna = await office.takes("101")
    await hangs_up(vera, anna)
    await office.internal(vera, anna, queue="everybody", rang=InAnyOrder(["101", "102"]), hangup_by="operator")


async def test_the_customer_of_a_queue_is_handed_on(office: Office) -> None:
    customer, anna = await office.talking(LOCAL_MEMBERS)
    await moment()
    anna.refer("103")
    vera = await office.takes("103")
    await hangs_up(anna)
    await moment()
    await hangs_up(customer, vera)
    await office.incoming(
        customer, anna, queue="local-members", rang=["101", "103"], operators=["101", "103"], hangup_by="customer",
        transfers=[("blind", "101", "103", True)],
    )  # fmt: skip
