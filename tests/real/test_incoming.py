"""Customers who call us: taken, or missed for every reason there is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amibridge.calls.record import CallRecord
from amibridge.recordings.errors import NotReady
from amibridge.recordings.examining import examined
from amibridge.recordings.mp3 import encode
from tests.real.office import ANNA, Fields, InAnyOrder, Office, hangs_up, moment
from tests.recordings.mp3_frames import seconds_of

IMPATIENT = "74951110002"
"""Anna's phone rings there for a second."""

GROUP = "74951110003"
MENU = "74951110004"


@pytest.mark.parametrize("who", ["customer", "operator"])
async def test_taken(office: Office, who: str) -> None:
    customer = office.customer(ANNA, name="Иван Петров")
    anna = await office.takes("101")
    await (hangs_up(customer, anna) if who == "customer" else hangs_up(anna, customer))
    record = await office.incoming(customer, anna, caller_name="Иван Петров", hangup_by=who)
    assert recorded_bytes(record) > 1000


async def test_held_and_taken_back(office: Office) -> None:
    """Music on hold, by a re-INVITE that only sends: for the customer that is a part of the talk."""
    customer, anna = await office.talking()
    for _ in range(2):
        anna.hold()
        await moment()
        anna.unhold()
        await moment()
    await hangs_up(anna, customer)
    await office.incoming(customer, anna, hangup_by="operator")


async def test_left_on_hold(office: Office) -> None:
    customer, anna = await office.talking()
    anna.hold()
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, hangup_by="customer")


async def test_a_recording_with_an_odd_name(office: Office) -> None:
    customer, anna = await office.talking("74951110025")
    await hangs_up(customer, anna)
    record = await office.incoming(customer, anna, hangup_by="customer")
    assert recorded_bytes(record) > 1000


async def test_a_recording_is_ready_when_asterisk_has_closed_it(office: Office, tmp_path: Path) -> None:
    """Until then it says of itself that it holds nothing, however much is in it."""
    before = set(office.asterisk.monitor.iterdir())
    customer, anna = await office.talking()
    [file] = set(office.asterisk.monitor.iterdir()) - before
    async with asyncio.timeout(30):
        while file.stat().st_size < 4096:  # it is written when a buffer is full
            customer.speak()
            await moment()
    with pytest.raises(NotReady):
        examined(file, ".wav", fresh=True)
    await hangs_up(customer, anna)
    record = await office.incoming(customer, anna, hangup_by="customer")
    assert [str(file)] == list(record.recordings)
    found = examined(file, ".wav", fresh=True)
    assert found is not None
    assert found.wav is not None
    assert (found.wav.plain, found.wav.rate, found.wav.channels) == (True, 8000, 1)
    with file.open("rb") as source, (tmp_path / "call.mp3").open("wb") as target:
        encode(found.wav, source, target)
    seconds = found.wav.length / 16_000
    assert seconds_of((tmp_path / "call.mp3").read_bytes()) == pytest.approx(seconds, abs=0.2)


async def test_nobody_answers(office: Office) -> None:
    customer = office.customer(IMPATIENT)
    anna = await office.called("101")
    await customer.is_over()
    await office.incoming(customer, anna, outcome="missed", reason="no_answer", hangup_by="system")


async def test_the_customer_gives_up(office: Office) -> None:
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await customer.rings()
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, outcome="missed", reason="abandoned", hangup_by="customer")


@pytest.mark.parametrize(
    ("status", "reason", "by"), [(486, "busy", "system"), (480, "unavailable", "system"), (603, "declined", "operator")]
)
async def test_the_phone_refuses_at_once(office: Office, status: int, reason: str, by: str) -> None:
    office.phones["101"].on_call = lambda talk: talk.refuse(status, "No")
    customer = office.customer(ANNA)
    await customer.is_over()
    await office.incoming(customer, outcome="missed", reason=reason, hangup_by=by)


async def test_the_operator_declines(office: Office) -> None:
    customer = office.customer(ANNA)
    anna = await office.called("101")
    await moment()
    anna.refuse(603, "Decline")
    await customer.is_over()
    await office.incoming(customer, anna, outcome="missed", reason="declined", hangup_by="operator")


async def test_the_phone_is_not_there(office: Office) -> None:
    customer = office.customer("74951110012")
    await customer.is_over()
    await office.incoming(customer, outcome="missed", reason="unavailable", hangup_by="system")


async def test_nobody_has_that_number(office: Office) -> None:
    customer = office.customer("74951119999")
    await customer.is_over()
    await office.incoming(customer, outcome="failed", reason="unallocated", hangup_by="system")


async def test_ring_group(office: Office) -> None:
    customer = office.customer(GROUP)
    anna, boris = await office.called("101"), await office.takes("102")
    await anna.is_over()
    await hangs_up(customer, boris)
    await office.incoming(customer, boris, rang=InAnyOrder(["101", "102"]), hangup_by="customer")


async def test_ring_group_of_which_nobody_answers(office: Office) -> None:
    """One rings in vain, one is busy, one is not plugged in: it was missed because nobody answered."""
    office.phones["102"].on_call = lambda talk: talk.refuse(486)
    customer = office.customer("74951110017")
    anna = await office.called("101")
    await customer.is_over()
    await office.incoming(customer, anna, outcome="missed", reason="no_answer", hangup_by="system")


async def test_the_greeting_is_no_answer(office: Office) -> None:
    """The PBX picks up and plays something before it rings anybody."""
    customer = office.customer("74951110014")
    await customer.is_answered()
    anna = await office.takes("101")
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, hangup_by="customer")


async def test_left_in_the_menu(office: Office) -> None:
    office.disregard("minimal")  # Asterisk 16 gives either end of it the same cause
    customer = office.customer(MENU)
    await customer.is_answered()
    await moment()
    await hangs_up(customer)
    await office.incoming(customer, outcome="missed", reason="ivr", hangup_by="customer")


async def test_through_the_menu_to_an_operator(office: Office) -> None:
    customer = office.customer(MENU)
    await customer.is_answered()
    await customer.press("1")
    anna = await office.takes("101")
    await hangs_up(anna, customer)
    await office.incoming(customer, anna, hangup_by="operator")


async def test_through_the_menu_and_given_up(office: Office) -> None:
    customer = office.customer(MENU)
    await customer.is_answered()
    await customer.press("1")
    anna = await office.called("101")
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, outcome="missed", reason="abandoned", hangup_by="customer")


@pytest.mark.parametrize("answered", [True, False])
async def test_the_dialplan_goes_on_when_he_has_hung_up(office: Office, answered: bool) -> None:
    """He left when he hung up, not when the extension `h` had done its work."""
    office.disregard("minimal")  # it may not hear who hangs up, and when
    customer = office.customer("74951110028")
    anna = await (office.takes if answered else office.called)("101")
    await moment()
    await hangs_up(customer, anna)
    told: Fields = {} if answered else {"outcome": "missed", "reason": "abandoned"}
    await office.incoming(customer, anna, hangup_by="customer", **told)


async def test_voicemail_is_nobody(office: Office) -> None:
    """It listens on for four seconds when he has hung up."""
    office.disregard("minimal")  # as above
    customer = office.customer("74951110008")
    anna = await office.called("101")
    await customer.is_answered()
    await moment()
    await hangs_up(customer)
    await office.incoming(customer, anna, outcome="missed", reason="voicemail", hangup_by="customer")


def recorded_bytes(record: CallRecord) -> int:
    """The size of its one recording."""
    [path] = record.recordings
    return Path(path).stat().st_size
