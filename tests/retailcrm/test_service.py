"""RetailCRMService against the sandbox CRM over real sockets: who is found, and that nobody is created twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from amibridge.enterprises import Account
from amibridge.redact import Secret
from amibridge.retailcrm.client import CrmSettings, open_crm
from amibridge.retailcrm.customers import CustomerFields
from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmForbids,
    CrmLockedOut,
    CrmMissing,
    CrmRefused,
    CrmUnreachable,
)
from amibridge.retailcrm.orders import OrderFields
from amibridge.retailcrm.phone_match import FoundBy, phone_forms
from amibridge.retailcrm.requests import CallResult, CallType, UploadedCall
from amibridge.retailcrm.service import RetailCRMService, Search
from amibridge.sandbox.crm_customers import Customers
from amibridge.sandbox.crm_faults import Busy, Cut, Nonsense, TelephonyOff, WrongKey
from amibridge.sandbox.crm_history import person
from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser

KEY = "key-of-romashka"
NOW = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)
OLGA = "+79161234567"
LOOKUP = "/api/v5/telephony/manager"
SEARCH = "/api/v5/customers"

CALL = UploadedCall(
    date=datetime(2026, 11, 24, 9, 15, tzinfo=UTC),
    type=CallType.IN,
    phone=OLGA,
    result=CallResult.ANSWERED,
    external_id="pbx1:1",
    duration=187,
    duration_waiting=12,
    code="101",
)


def romashka(**changes: Any) -> SandboxAccount:
    account = SandboxAccount(
        site="romashka",
        api_key=KEY,
        time_zone=ZoneInfo("Asia/Vladivostok"),
        users=[SandboxUser(27, "Ирина Ковалёва", "101")],
        name="Ромашка",
    )
    return replace(account, **changes)


@asynccontextmanager
async def service_of(
    *, region: str = "RU", site: str | None = "romashka", **changes: Any
) -> AsyncIterator[tuple[SandboxCrm, RetailCRMService]]:
    crm = SandboxCrm([romashka(**changes)])
    async with crm.serve() as url, RetailCRMService.open(url, KEY, site=site, region=region) as service:
        yield crm, service


def book(crm: SandboxCrm) -> Customers:
    return crm.accounts[0].customers


def put(crm: SandboxCrm, *phones: str, **fields: Any) -> int:
    """Somebody in the CRM typed a customer."""
    written = {"phones": [{"number": phone} for phone in phones]} | fields
    return book(crm).create(written, NOW, person(27), fields.get("site"))


def asked(crm: SandboxCrm, path: str) -> int:
    return sum(one.path == path for one in crm.requests)


class TestSearch:
    @pytest.mark.parametrize(
        "typed",
        ["+79161234567", "89161234567", "8 (916) 123-45-67", "9161234567", "+7-916-123-45-67", "tel:79161234567"],
    )
    async def test_the_crms_own_lookup_is_asked_first(self, typed: str) -> None:
        async with service_of() as (crm, service):
            id = put(crm, "+79160000009", typed, firstName="Ольга")
            found = await service.search_customer_by_phone("8 (916) 123-45-67")
            assert found.customer is not None
            assert (found.customer.id, found.found_by, found.customer.first_name) == (id, FoundBy.LOOKUP, "Ольга")
            assert asked(crm, SEARCH) == 0

    @pytest.mark.parametrize(
        ("typed", "found_by", "searches"),
        [
            ("+7 916 123-45-67", FoundBy.INTERNATIONAL, 1),
            ("8 (916) 123-45-67", FoundBy.NATIONAL, 2),
            ("916-123-45-67", FoundBy.SIGNIFICANT, 3),
        ],
    )
    async def test_without_it_each_way_to_write_the_number_is_looked_for(
        self, typed: str, found_by: FoundBy, searches: int
    ) -> None:
        async with service_of(finds_parts=False, scopes=frozenset({"customer_read"})) as (crm, service):
            id = put(crm, typed)
            found = await service.search_customer_by_phone(OLGA)
            assert found.customer is not None
            assert (found.customer.id, found.found_by) == (id, found_by)
            assert asked(crm, SEARCH) == searches

    @pytest.mark.parametrize(
        ("region", "typed", "phone"),
        [
            ("BY", "8 029 123-45-67", "+375291234567"),
            ("BY", "29 123 45 67", "80291234567"),
            ("UA", "067 123-45-67", "+380671234567"),
            ("KZ", "8 701 123 45 67", "77011234567"),
            ("RU", "+375 29 123-45-67", "80291234567"),
        ],
    )
    async def test_numbers_have_the_lengths_of_their_country(self, region: str, typed: str, phone: str) -> None:
        async with service_of(region=region, finds_parts=False, scopes=frozenset({"customer_read"})) as (crm, service):
            id = put(crm, typed)
            found = await service.search_customer_by_phone(phone)
            assert found.customer is not None
            assert found.customer.id == id

    @pytest.mark.parametrize("changes", [{}, {"ignores_unknown": True}, {"scopes": frozenset({"customer_read"})}])
    async def test_only_who_has_the_number_is_found(self, changes: dict[str, Any]) -> None:
        async with service_of(**changes) as (crm, service):
            put(crm, "+49 30 9161234567", "9161234568", firstName="79161234567")
            put(crm, "+375 9161234567")
            assert await service.search_customer_by_phone(OLGA) == Search()
            assert asked(crm, SEARCH) == 3

    async def test_a_lookup_that_names_somebody_else_is_not_believed(self) -> None:
        """The CRM compares ten digits, which another country may have, too."""
        async with service_of() as (crm, service):
            put(crm, "+39 9161234567")
            id = put(crm, "8 916 123-45-67")
            found = await service.search_customer_by_phone(OLGA)
            assert found.customer is not None
            assert (found.customer.id, found.found_by) == (id, FoundBy.NATIONAL)

    @pytest.mark.parametrize("phone", ["101", "", "anonymous", "112", "8", "x" * 500])
    async def test_what_is_no_number_is_not_asked_for(self, phone: str) -> None:
        async with service_of() as (crm, service):
            assert await service.search_customer_by_phone(phone) == Search()
            assert len(crm.requests) == 0

    async def test_of_several_our_stores_come_first_then_the_latest_order(self) -> None:
        async with service_of(scopes=frozenset({"customer_read", "order_read"})) as (crm, service):
            old, new, none, elsewhere = (
                put(crm, OLGA, **({"site": site} if site else {})) for site in (None, None, None, "vasilek")
            )
            for customer, day in ((new, 3), (old, 1), (elsewhere, 9)):
                order = {"customer": {"id": customer}, "createdAt": f"2026-11-0{day} 10:00:00"}
                crm.accounts[0].orders.create(order, NOW, person(27))
            found = await service.search_customer_by_phone(OLGA)
            assert found.customer is not None
            assert found.customer.id == new
            assert [one.id for one in found.others] == [old, none, elsewhere]

    async def test_without_a_right_to_orders_somebody_is_found_still(self) -> None:
        async with service_of(scopes=frozenset({"customer_read"})) as (crm, service):
            ids = {put(crm, OLGA), put(crm, OLGA)}
            found = await service.search_customer_by_phone(OLGA)
            assert found.customer is not None
            assert {found.customer.id, *(one.id for one in found.others)} == ids

    @pytest.mark.parametrize(
        ("fault", "error"),
        [(WrongKey(), CrmLockedOut), (Busy(), CrmBusy), (Nonsense(), CrmBroken), (Cut(), CrmUnreachable)],
    )
    async def test_a_crm_in_trouble_is_not_taken_for_one_that_knows_nobody(
        self, fault: Any, error: type[Exception]
    ) -> None:
        async with service_of() as (crm, service):
            crm.faults.give(fault, times=None)  # aiohttp asks again when a connection is cut
            with pytest.raises(error):
                await service.search_customer_by_phone(OLGA)

    async def test_telephony_that_is_off_leaves_the_search(self) -> None:
        async with service_of() as (crm, service):
            id = put(crm, OLGA)
            crm.faults.give(TelephonyOff(), path=LOOKUP)
            found = await service.search_customer_by_phone(OLGA)
            assert found.customer is not None
            assert (found.customer.id, found.found_by) == (id, FoundBy.INTERNATIONAL)


class TestCreateCustomer:
    async def test_ten_at_once_create_one(self) -> None:
        async with service_of() as (crm, service):
            ways = ["+79161234567", "89161234567", "8 (916) 123-45-67", "79161234567", "9161234567"] * 2
            made = await asyncio.gather(*(service.create_customer(CustomerFields(phones=(way,))) for way in ways))
            assert {one.customer.id for one in made} == {1}
            assert [one.created for one in made].count(True) == 1
            assert book(crm).by_id.keys() == {1}

    async def test_one_whose_answer_was_lost_comes_back(self) -> None:
        async with service_of() as (crm, service):
            crm.faults.give(Cut(done=True), path=f"{SEARCH}/create")
            anna = CustomerFields(phones=(OLGA,), first_name="Анна")
            with pytest.raises(CrmUnreachable):
                await service.create_customer(anna)
            async with RetailCRMService.open(service._account.url, KEY, site="romashka") as after_the_crash:
                again = await after_the_crash.create_customer(anna)
            assert (again.created, again.customer.id, again.customer.first_name) == (False, 1, "Анна")
            assert book(crm).by_id.keys() == {1}

    async def test_of_one_who_was_merged_the_one_who_remained_comes_back(self) -> None:
        async with service_of() as (crm, service):
            anna = CustomerFields(phones=(OLGA,))
            first = (await service.create_customer(anna)).customer.id
            second, third = put(crm, "8 916"), put(crm, "8 917")
            book(crm).combine(second, [first], NOW, person(27))
            book(crm).combine(third, [second], NOW, person(27))
            again = await service.create_customer(anna)
            assert (again.created, again.customer.id) == (False, third)

    async def test_his_name_and_phone_are_written_as_they_were_given(self) -> None:
        async with service_of() as (crm, service):
            fields = CustomerFields(phones=("8 (916) 123-45-67",), first_name="Анна", manager_id=27)
            made = await service.create_customer(fields)
            kept = book(crm).by_id[1]
            assert (kept["phones"], kept["managerId"], kept["site"]) == (
                [{"number": "8 (916) 123-45-67"}],
                27,
                "romashka",
            )
            assert kept["externalId"] == made.customer.external_id == service.external_id(OLGA)
            assert (made.created, made.customer.phones) == (True, ("8 (916) 123-45-67",))

    async def test_another_refusal_stays_one(self) -> None:
        async with service_of(site="moon") as (_, service):
            with pytest.raises(CrmRefused, match="site") as caught:
                await service.create_customer(CustomerFields(phones=(OLGA,)))
            assert caught.value.status == 400

    async def test_one_who_was_deleted_is_the_refusal_again(self) -> None:
        async with service_of() as (crm, service):
            anna = CustomerFields(phones=(OLGA,))
            await service.create_customer(anna)
            book(crm).delete(1, NOW, person(27))
            with pytest.raises(CrmRefused, match="externalId"):
                await service.create_customer(anna)

    async def test_a_customer_of_nothing_is_a_mistake(self) -> None:
        async with service_of() as (crm, service):
            for fields in (CustomerFields(first_name="x"), CustomerFields(external_id="history", first_name="x")):
                with pytest.raises(ValueError, match=r"\w"):
                    await service.create_customer(fields)
            assert len(crm.requests) == 0

    async def test_an_external_id_is_the_numbers_and_the_accounts(self) -> None:
        async with open_crm(CrmSettings()) as crm:
            here, there = (
                RetailCRMService(crm, Account(f"https://{name}.example", Secret(KEY))) for name in ("here", "there")
            )
            assert here.external_id(OLGA) == here.external_id("8 916 123 45 67") != here.external_id("+79161234568")
            assert here.external_id(OLGA) != there.external_id(OLGA)
            # What was created under one must be found under it for ever.
            assert here.external_id(OLGA) == "amibridge-2645b9f9-7ebe-5619-8dff-d0b1325b29fe"


class TestCustomer:
    async def test_a_merged_one_leads_to_who_remained(self) -> None:
        async with service_of() as (crm, service):
            first, second = put(crm, OLGA, externalId="a"), put(crm, "8 916")
            book(crm).combine(second, [first], NOW, person(27))
            assert [(await service.customer(key)).id for key in (first, "a", second)] == [second] * 3

    async def test_one_who_never_was_is_missing(self) -> None:
        async with service_of() as (_, service):
            for key in (99, "a"):
                with pytest.raises(CrmMissing):
                    await service.customer(key)


class TestCreateOrder:
    async def test_it_is_created_once(self) -> None:
        async with service_of() as (crm, service):
            olga = put(crm, OLGA)
            fields = OrderFields(external_id="amibridge-pbx1:1", customer=olga, order_method="phone", status="new")
            first, again = await service.create_order(fields), await service.create_order(fields)
            assert (first.created, again.created, again.order.id) == (True, False, first.order.id)
            assert (again.order.customer, again.order.status, again.order.site) == (olga, "new", "romashka")
            assert len(crm.accounts[0].orders.by_id) == 1

    async def test_one_without_an_external_id_is_another_each_time(self) -> None:
        async with service_of() as (_, service):
            fields = OrderFields(phone=OLGA)
            assert (await service.create_order(fields)).order.id != (await service.create_order(fields)).order.id

    async def test_a_refusal_about_another_external_id_stays_one(self) -> None:
        async with service_of() as (crm, service):
            said = '{"success": false, "errorMsg": "Errors", "errors": {"customer": "externalId is unknown"}}'
            crm.faults.give(Nonsense(said), path="/api/v5/orders/create")
            with pytest.raises(CrmRefused, match="unknown"):
                await service.create_order(OrderFields(external_id="a", customer="b"))

    async def test_a_word_that_the_account_does_not_have_is_refused(self) -> None:
        async with service_of(scopes=frozenset({"order_read", "order_write"})) as (_, service):
            with pytest.raises(CrmRefused, match="orderMethod"):
                await service.create_order(OrderFields(external_id="a", order_method="pigeon"))
            with pytest.raises(CrmForbids):
                await service.customer(1)


class TestLogCall:
    async def test_it_is_dated_in_the_accounts_zone_and_logged_once(self) -> None:
        async with service_of() as (crm, service):
            assert await service.log_call(CALL) is True
            assert await service.log_call(CALL) is False
            [kept] = crm.accounts[0].calls
            assert (kept.date, kept.date.isoformat()) == (CALL.date, "2026-11-24T19:15:00+10:00")
            assert (kept.site, kept.code, asked(crm, "/api/v5/settings")) == ("romashka", "101", 1)

    async def test_a_call_that_was_not_taken_is_none_that_was_known(self) -> None:
        async with service_of() as (crm, service):
            crm.faults.give(
                Nonsense('{"success": true, "processedCallsCount": 0, "duplicateCalls": []}'), path="/api/v5/tel"
            )
            with pytest.raises(CrmBroken):
                await service.log_call(CALL)

    async def test_a_naive_date_is_a_mistake(self) -> None:
        async with service_of() as (_, service):
            with pytest.raises(ValueError, match="time zone"):
                await service.log_call(replace(CALL, date=datetime(2026, 11, 24)))


async def test_the_example_of_the_document_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Against a sandbox in the place of the shop."""
    document = (Path(__file__).parents[2] / "docs" / "retailcrm.md").read_text("utf-8")
    code = document.partition("```python\n")[2].partition("```")[0].partition("asyncio.run(")[0]
    crm = SandboxCrm([romashka(api_key="your-api-key")])
    async with crm.serve() as url:
        scope: dict[str, Any] = {}
        exec(code.replace("https://shop.retailcrm.ru", url), scope)
        for _ in range(2):
            await scope["main"]()
    account = crm.accounts[0]
    assert [call.external_id for call in account.calls] == ["my-pbx:1700000000.42"]
    assert len(account.customers.by_id) == len(account.orders.by_id) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("1 ")]
    assert said == ["1 logged", "1 logged before"]


def test_ways_to_write_a_number_are_looked_for_once_each() -> None:
    forms = phone_forms("2025550100", "US")
    assert forms is not None
    assert forms.searches() == [(FoundBy.INTERNATIONAL, "12025550100"), (FoundBy.SIGNIFICANT, "2025550100")]
