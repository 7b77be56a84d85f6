"""Find-me and follow-me: the call looks for its operator, at last outside, where whoever picks up must accept it."""

from __future__ import annotations

import pytest

from tests.real.office import CALLER, MOBILE, Office, hangs_up, moment

CONFIRMING = "74951110018"
"""Anna's desk and her mobile, which must accept with 1 (FreePBX: "confirm calls")."""

FOLLOWME = "74951110019"
"""The application FollowMe: her mobile, which must accept with 1 and may decline with 2."""


async def test_one_after_another_ends_at_the_mobile(office: Office) -> None:
    """The desk, the colleague, then a number outside: who answered there is named by the number dialled."""
    customer = office.customer("74951110007")
    anna = await office.called("101")
    await office.called("102")
    mobile = await office.takes("trunk")
    await hangs_up(mobile, customer)
    await office.incoming(
        customer, mobile, rang=["101", "102"], operators=[MOBILE], hangup_by="operator", rang_at=anna.rang_at
    )


async def test_the_mobile_accepts(office: Office) -> None:
    customer = office.customer(CONFIRMING)
    anna = await office.called("101")
    mobile = await office.takes("trunk")
    accepted_at = mobile.phone.now()
    await mobile.press("1")
    await anna.is_over()
    await moment()
    await hangs_up(customer, mobile)
    await office.incoming(
        customer, anna, outcome="answered", operators=[MOBILE], hangup_by="customer", answered_at=accepted_at
    )


@pytest.mark.parametrize("key", ["2", ""], ids=["declines", "says nothing"])
async def test_the_mobile_does_not_accept(office: Office, key: str) -> None:
    """Its mailbox has picked up, or somebody who does not want the call: the customer has heard it ring, no more."""
    customer = office.customer(CONFIRMING)
    anna = await office.called("101")
    mobile = await office.takes("trunk")
    await mobile.press(key)
    await customer.is_over()
    await office.incoming(customer, anna, outcome="missed", reason="no_answer", hangup_by="system")


async def test_the_mobile_does_not_accept_and_the_desk_does(office: Office) -> None:
    customer = office.customer(CONFIRMING)
    anna = await office.called("101")
    mobile = await office.takes("trunk")
    await mobile.press("2")
    await mobile.is_over()
    anna.answer()
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, hangup_by="customer")


async def test_the_customer_gives_up_while_the_mobile_is_asked(office: Office) -> None:
    customer = office.customer(CONFIRMING)
    anna = await office.called("101")
    mobile = await office.takes("trunk")
    await hangs_up(customer, anna, mobile)
    await office.incoming(customer, anna, outcome="missed", reason="abandoned", hangup_by="customer")


async def test_follow_me_and_the_mobile_accepts(office: Office) -> None:
    customer = office.customer(FOLLOWME)
    mobile = await office.takes("trunk")
    accepted_at = mobile.phone.now()
    await mobile.press("1")
    await moment()
    await hangs_up(customer, mobile)
    await office.incoming(customer, mobile, operators=[MOBILE], hangup_by="customer", answered_at=accepted_at)


async def test_follow_me_and_the_mobile_declines(office: Office) -> None:
    customer = office.customer(FOLLOWME)
    mobile = await office.takes("trunk")
    await mobile.press("2")
    await customer.is_over()
    await office.incoming(customer, rang_at=mobile.rang_at, outcome="missed", reason="no_answer", hangup_by="system")


async def test_follow_me_and_nobody_answers(office: Office) -> None:
    office.disregard("minimal")  # FollowMe says that it ends a dial, never why: only who hung up tells
    customer = office.customer(FOLLOWME)
    mobile = await office.outside.is_called()
    await customer.is_over()
    await office.incoming(customer, rang_at=mobile.rang_at, outcome="missed", reason="no_answer", hangup_by="system")


async def test_follow_me_and_the_customer_gives_up(office: Office) -> None:
    customer = office.customer(FOLLOWME)
    mobile = await office.outside.is_called()
    await moment()
    await hangs_up(customer, mobile)
    await office.incoming(customer, rang_at=mobile.rang_at, outcome="missed", reason="abandoned", hangup_by="customer")


async def test_the_desk_is_forwarded_in_the_dialplan(office: Office) -> None:
    """`Local/<mobile>@from-internal`: the call goes out by the same plan as an operator's."""
    customer = office.customer("74951110020")
    mobile = await office.takes("trunk")
    assert mobile.number in (CALLER, "74951110000")
    await hangs_up(mobile, customer)
    await office.incoming(customer, mobile, operators=[MOBILE], hangup_by="operator")
