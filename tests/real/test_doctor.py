"""The doctor at a real Asterisk: what each account may do is found out, and who is behind which endpoint."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from amibridge.calls.numbering import Numbering
from amibridge.doctor.findings import Finding, Level
from amibridge.doctor.pbx import pbx
from amibridge.redact import Secret
from amibridge.store.survey import Survey
from tests.doctor.looking import all_of, by_about, unwell
from tests.real.asterisk import ACCOUNTS, GATEWAY, NEVER_THERE, OTHERS, PEOPLE, TRUNK, Asterisk, Driver
from tests.real.office import MOMENT, Office
from tests.store.enterprises import host, romashka

pytestmark = pytest.mark.postgres


async def found_as(
    account: str, asterisk: Asterisk, pool: asyncpg.Pool, *, secret: str = "secret", listening: float = 0.2
) -> list[Finding]:
    address, port = asterisk.ami
    there = replace(host(), host=address, port=port, username=account, secret=Secret(secret), numbering=Numbering())
    enterprise = replace(romashka(), hosts=(there,))
    return await all_of(pbx(there, enterprise, Survey(pool), listening=timedelta(seconds=listening)))


async def found_while_called(account: str, office: Office, pool: asyncpg.Pool) -> list[Finding]:
    """A customer calls again and again, until enough was heard."""
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(found_as(account, office.asterisk, pool, listening=20), name="doctor")
        while not looking.done():
            customer = office.customer("74951110001")
            await asyncio.wait({looking}, timeout=MOMENT)
            customer.hang_up()
    return looking.result()


async def test_while_a_phone_rings_all_is_well_for_the_account_of_the_manual(
    office: Office, asterisk: Asterisk, pool: asyncpg.Pool
) -> None:
    found = await found_while_called("amibridge", office, pool)
    assert unwell(found) == []
    told = {one.about: one.found for one in found}
    assert told["pbx1 login"].startswith(f"Asterisk {asterisk.package.version}.")
    technology = "PJSIP" if asterisk.driver is Driver.PJSIP else "SIP"
    operators = ", ".join([*PEOPLE, NEVER_THERE, GATEWAY])
    lines = ", ".join(f"{technology}/{name}" for name in sorted({TRUNK, *OTHERS} - {GATEWAY}))
    assert told["pbx1 endpoints"] == f"operators: {operators}; lines: {lines}; not signed in: {NEVER_THERE}"
    assert told["pbx1 operators"] == f"not in [operators], so addressed by extension: 103, 104, 109, {GATEWAY}"
    assert "call" in told["pbx1 events"]


@pytest.mark.parametrize("account", [name for name in ACCOUNTS if name != "amibridge"])
async def test_accounts_that_may_not_filter_or_call_are_told(office: Office, pool: asyncpg.Pool, account: str) -> None:
    found = await found_while_called(account, office, pool)
    rights = [found for _, about, found in unwell(found) if about == "pbx1 rights"]
    assert [words.partition(":")[0] for words in rights] == ["it may not set an event filter", "it may not place calls"]
    assert by_about(found)["pbx1 events"] is Level.OK
    assert by_about(found)["pbx1 clock"] is Level.OK


async def test_a_quiet_office_is_asked_for_a_call(asterisk: Asterisk, pool: asyncpg.Pool) -> None:
    found = await found_as("amibridge", asterisk, pool)
    assert [one[:2] for one in unwell(found)] == [(Level.WARN, "pbx1 events")]


async def test_a_wrong_secret_is_told_with_the_line_to_look_at(asterisk: Asterisk, pool: asyncpg.Pool) -> None:
    [failed] = await found_as("amibridge", asterisk, pool, secret="hush-wrong")
    assert (failed.level, failed.found.rpartition(": ")[2]) == (Level.FAIL, "Authentication failed")
    assert "[amibridge]" in str(failed.advice)
