"""An account in which something happened of all that can be asked about, and an enterprise that has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from amibridge.doctor.findings import Finding
from amibridge.doctor.live.assumptions import ASSUMPTIONS
from amibridge.doctor.live.examination import ask_live
from amibridge.enterprises import Account, Enterprise
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings
from amibridge.retailcrm.limits import Rate
from amibridge.retailcrm.module_wish import wished
from amibridge.retailcrm.requests import LimitClass
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_forms import IntegrationModule
from amibridge.sandbox.crm_history import person
from amibridge.sandbox.crm_ways import Otherwise
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm
from tests.sandbox.crm_asker import KEY, romashka
from tests.store.enterprises import romashka as enterprise

FAST = CrmSettings(connect=timedelta(seconds=5), total=timedelta(seconds=5))
"""The sandbox counts what it is asked as RetailCRM does."""

UNLIMITED = replace(FAST, rates={limit: Rate(1000, timedelta(seconds=1), unanswered=100) for limit in LimitClass})

TYPED = ("8 (916) 123-45-67", "+79161234568", "89161234569", "7 916 123-45-70")
PEOPLE = person(31)


def shop(**changes: Any) -> SandboxAccount:
    return replace(romashka(), customers={}, **changes)


def lived_in(account: CrmAccount) -> None:
    """Customers whose numbers are typed in many ways, two of one number, a merge, orders of several days."""
    begun = datetime.now(UTC) - timedelta(days=9)
    ids = [
        account.customers.create(
            {"firstName": "Анна", "phones": [{"number": typed}], "managerId": 27},
            begun + timedelta(hours=place),
            PEOPLE,
        )
        for place, typed in enumerate((*TYPED, TYPED[0]))
    ]
    for day in range(4):
        customer = {"customer": {"id": ids[0]}, "firstName": "Анна"}
        account.orders.create(customer, begun + timedelta(days=day), PEOPLE)
    gone = account.customers.create({"phones": [{"number": "+79161234599"}]}, begun + timedelta(days=1), PEOPLE)
    account.customers.combine(ids[1], [gone], begun + timedelta(days=2), PEOPLE)
    for change in range(20):
        account.customers.edit(ids[2], {"firstName": f"Анна {change}"}, begun + timedelta(days=3), PEOPLE)


def registered(account: CrmAccount, asking: Enterprise) -> None:
    module = wished(asking, "https://bridge.example.com", None)
    account.modules[module.code] = IntegrationModule.model_validate_json(json.dumps(module.fields()))


def asking(url: str) -> Enterprise:
    return replace(enterprise(), account=Account(url, Secret(KEY), "romashka"), region="RU")


@asynccontextmanager
async def serving(
    *otherwise: Otherwise, lived: bool = True, module: bool = True, **changes: Any
) -> AsyncIterator[tuple[SandboxCrm, Enterprise]]:
    crm = SandboxCrm([shop(otherwise=frozenset(otherwise), **changes)])
    async with crm.serve() as url:
        one = asking(url)
        if lived:
            lived_in(crm.account(KEY))
        if module:
            registered(crm.account(KEY), one)
        yield crm, one


async def asked(
    one: Enterprise, abouts: Iterable[str] | None = None, *, write: bool = False, settings: CrmSettings = FAST
) -> list[Finding]:
    wanted = set(abouts) if abouts is not None else {assumption.about for assumption in ASSUMPTIONS}
    assumptions = [assumption for assumption in ASSUMPTIONS if assumption.about in wanted]
    assert {assumption.about for assumption in assumptions} == wanted
    found = ask_live(one, write=write, settings=settings, assumptions=assumptions)
    return [finding async for finding in found]
