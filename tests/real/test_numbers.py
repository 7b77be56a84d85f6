"""Numbers and names as providers and phones send them: hidden, odd, hostile."""

from __future__ import annotations

import pytest

from tests.real.asterisk import Driver
from tests.real.office import ANNA, CALLER, Fields, Office, hangs_up, moment

LONG = "7" * 79
"""chan_sip and Asterisk's own fields end at eighty."""


async def called_in_vain(office: Office, **told: object) -> None:
    """The record of a customer who calls and hangs up again."""
    fields: Fields = {"external_number": None, "phone": None, **told}
    [customer] = office.outside.talks.values()
    anna = await office.called("101")
    await customer.rings()
    await moment()
    await hangs_up(customer, anna)
    await office.incoming(customer, anna, outcome="missed", reason="abandoned", hangup_by="customer", **fields)


@pytest.mark.parametrize(
    ("sent", "number", "phone"),
    [
        ("anonymous", None, None),
        ("Anonymous", None, None),
        ("", None, None),
        ("+375296254070", "+375296254070", "+375296254070"),
        ("89161234567", "89161234567", "+79161234567"),
        ("9161234567", "9161234567", "+79161234567"),
        ("0079161234567", "0079161234567", "+79161234567"),
        ("+7%20(916)%20123-45-67", "+7 (916) 123-45-67", "+79161234567"),
        ("101", "101", None),
        ("112", "112", None),
        ("taxi", "taxi", None),
        (LONG, LONG, None),
    ],
)
async def test_numbers(office: Office, sent: str, number: str | None, phone: str | None) -> None:
    """Even one that looks like an extension of ours: what comes in on a line is a customer."""
    office.customer(ANNA, sent)
    await called_in_vain(office, external_number=number, phone=phone)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Иван Петров", "Иван Петров"),
        ('ООО "Ромашка", склад <2>', 'ООО "Ромашка", склад <2>'),
        ("Event: Hangup", "Event: Hangup"),
        ("O'Brien & Co?", "O'Brien & Co?"),
        ("C:\\new", "C:\\new"),
        ("日本 ☎ 🙂", "日本 ☎ 🙂"),
        ("Anonymous", None),
    ],
)
async def test_names(office: Office, sent: str, shown: str | None) -> None:
    office.customer(ANNA, name=sent)
    await called_in_vain(office, external_number=CALLER, phone=f"+{CALLER}", caller_name=shown)


@pytest.mark.parametrize("header", ["P-Asserted-Identity", "Remote-Party-ID"])
async def test_hidden_from_the_callee_and_known_to_the_line(office: Office, header: str) -> None:
    """Where the PBX trusts its line (trust_id_inbound, trustrpid), the asserted number is what it sees."""
    if office.asterisk.driver is Driver.SIP:
        pytest.skip("chan_sip shows what Privacy hides as anonymous")
    headers = [(header, f"<sip:+{CALLER}@provider.example>"), ("Privacy", "id")]
    office.outside.call(ANNA, caller="anonymous", name="Anonymous", headers=headers)
    await called_in_vain(office, external_number=f"+{CALLER}", phone=f"+{CALLER}")
