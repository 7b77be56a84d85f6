"""Numbers and names as providers and phones send them: hidden, odd, hostile. All of them call at the same time."""

from __future__ import annotations

import pytest

from amibridge.calls.record import CallRecord
from tests.real.asterisk import Driver
from tests.real.office import ANNA, CALLER, Office, hangs_up, moment

LONG = "7" * 79
"""Asterisk's own fields end at eighty."""

NUMBERS = {
    "anonymous": (None, None),
    "Anonymous": (None, None),
    "": (None, None),
    "+375296254070": ("+375296254070", "+375296254070"),
    "89161234567": ("89161234567", "+79161234567"),
    "9161234567": ("9161234567", "+79161234567"),
    "0079161234567": ("0079161234567", "+79161234567"),
    "+7%20(916)%20123-45-67": ("+7 (916) 123-45-67", "+79161234567"),
    "101": ("101", None),
    "112": ("112", None),
    "taxi": ("taxi", None),
    LONG: (LONG, None),
}
"""What is sent: what the PBX shows, and what number that is."""

NAMES = {
    "Иван Петров": "Иван Петров",
    'ООО "Ромашка", склад <2>': 'ООО "Ромашка", склад <2>',
    "O'Brien & Co?": "O'Brien & Co?",
    "C:\\new": "C:\\new",
    "Event: Hangup": "Event: Hangup",
    "日本 ☎ 🙂": "日本 ☎ 🙂",
    "Anonymous": None,
}


async def called_in_vain(office: Office) -> list[CallRecord]:
    """All who call Anna hang up again, in the order they came: their records in that order."""
    customers = list(office.outside.talks.values())
    phones = [await office.called("101") for _ in customers]
    for customer in customers:
        await customer.rings()
    await moment()
    for customer in customers:
        await hangs_up(customer)
    for phone in phones:
        await phone.is_over()
    records = sorted(await office.records(len(customers)), key=lambda record: record.started_at)
    for record in records:
        assert (record.direction, record.outcome, record.reason) == ("incoming", "missed", "abandoned")
        assert (record.line, record.rang, record.complete, record.notes) == (ANNA, ("101",), True, ())
    return records


async def test_numbers(office: Office) -> None:
    """Even one that looks like an extension of ours: what comes in on a line is a customer."""
    for sent in NUMBERS:
        await office.customer(ANNA, sent).rings()
    records = await called_in_vain(office)
    assert [(record.external_number, record.phone) for record in records] == list(NUMBERS.values())


async def test_names(office: Office) -> None:
    for sent in NAMES:
        await office.customer(ANNA, name=sent).rings()
    assert [record.caller_name for record in await called_in_vain(office)] == list(NAMES.values())


async def test_hidden_from_the_callee_and_known_to_the_line(office: Office) -> None:
    """Where the PBX trusts its line (trust_id_inbound, trustrpid), the asserted number is what it sees."""
    if office.asterisk.driver is Driver.SIP:
        pytest.skip("chan_sip shows what Privacy hides as anonymous")
    for header in ("P-Asserted-Identity", "Remote-Party-ID"):
        headers = [(header, f"<sip:+{CALLER}@provider.example>"), ("Privacy", "id")]
        await office.outside.call(ANNA, caller="anonymous", name="Anonymous", headers=headers).rings()
    records = await called_in_vain(office)
    assert [(record.external_number, record.phone) for record in records] == [(f"+{CALLER}", f"+{CALLER}")] * 2
