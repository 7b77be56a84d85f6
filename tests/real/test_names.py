"""Phones with other names than a short extension, and a gateway set up as one: who is who, with nothing configured."""

from __future__ import annotations

import pytest

from amibridge.calls.telling import AnomalyKind
from tests.real.asterisk import GATEWAY
from tests.real.office import CALLER, CUSTOMER, Beginning, Office, hangs_up, moment

EXTENSIONS = {"anna": "111", "200101": "200101"}


@pytest.mark.parametrize("name", EXTENSIONS)
async def test_a_named_phone_calls(office: Office, name: str) -> None:
    """Its context and its caller ID say whose it is."""
    phone = office.phones[name].call(CUSTOMER)
    customer = await office.takes("trunk")
    await hangs_up(phone, customer)
    extension = EXTENSIONS[name]
    await office.outgoing(
        phone, customer, outcome="answered", hangup_by="operator", caller=extension, operators=[extension],
        notes=[Beginning(f"{office.asterisk.driver}/{name} is the phone of {extension}: by ")],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "name", "extension", "known_by"),
    [
        ("74951110031", "anna", "111", "by its caller ID and context from-internal"),
        ("74951110032", "vera", "vera", "no number is dialled through it"),
        ("74951110033", "200101", "200101", "by its name and context from-internal"),
    ],
)
async def test_a_named_phone_is_called(office: Office, line: str, name: str, extension: str, known_by: str) -> None:
    customer = office.customer(line)
    phone = await office.takes(name)
    await hangs_up(customer, phone)
    await office.incoming(
        customer, phone, outcome="answered", hangup_by="customer", rang=[extension], operators=[extension],
        notes=[f"{office.asterisk.driver}/{name} is the phone of {extension}: {known_by}"],
    )  # fmt: skip


async def test_a_number_is_dialled_through_a_gateway_set_up_as_an_extension(office: Office) -> None:
    anna = office.phones["101"].call("9" + CUSTOMER)
    customer = await office.takes(GATEWAY)
    await hangs_up(anna, customer)
    await office.outgoing(
        anna, customer, outcome="answered", hangup_by="operator", external_number=CUSTOMER, phone="+79161112233",
        line=None, rang=[], notes=[f"{office.asterisk.driver}/{GATEWAY} is a line: {CUSTOMER} is dialled through it"],
    )  # fmt: skip


async def test_who_calls_through_it_cannot_be_decided(office: Office) -> None:
    caller = office.phones[GATEWAY].call("101", caller=CALLER)
    anna = await office.takes("101")
    await hangs_up(caller, anna)
    await moment()
    question = f"{office.asterisk.driver}/{GATEWAY} calls as {CALLER}: is it a line, or a phone?"
    for listener in office.listeners:
        assert listener.records == [], listener.account
        riddles = listener.board.take_anomalies()
        assert [(one.kind, one.text) for one in riddles] == [(AnomalyKind.DIRECTION, question)], listener.account
