"""Customers in the sandbox CRM: kept as typed, found by parts, created once, merged for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_customers import Customers
from amibridge.sandbox.crm_history import ANOTHER_KEY, person
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.sandbox.crm_asker import Asker, romashka

CUSTOMERS = "/api/v5/customers"
HISTORY = f"{CUSTOMERS}/history"
NOW = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)


@asynccontextmanager
async def asker_of(**changes: Any) -> AsyncIterator[Asker]:
    crm = SandboxCrm([replace(romashka(), **changes)])
    async with crm.serve() as url, aiohttp.ClientSession() as session:
        yield Asker(crm, url, session)


def book(asker: Asker) -> Customers:
    return asker.crm.accounts[0].customers


async def created(asker: Asker, **fields: object) -> int:
    status, body = await asker.post(f"{CUSTOMERS}/create", customer=fields)
    assert status == 201
    return int(body["id"])


async def found(asker: Asker, **query: str) -> list[int]:
    status, body = await asker.get(CUSTOMERS, **query)
    assert status == 200
    return [one["id"] for one in body["customers"]]


class TestKept:
    async def test_phones_stay_as_they_were_typed(self, asker: Asker) -> None:
        id = await created(asker, phones=[{"number": "8 (495) 111-00-01"}, {"number": "+79161234567"}])
        _, body = await asker.get(f"{CUSTOMERS}/{id}", by="id")
        assert [one["number"] for one in body["customer"]["phones"]] == ["8 (495) 111-00-01", "+79161234567"]

    async def test_nobody_is_refused_for_a_phone_that_is_known(self, asker: Asker) -> None:
        phones = [{"number": "+79160000001"}]
        assert await created(asker, phones=phones) != await created(asker, phones=phones)

    async def test_an_external_id_is_known_once(self, asker: Asker) -> None:
        id = await created(asker, externalId="a", firstName="Анна")
        status, body = await asker.post(f"{CUSTOMERS}/create", customer={"externalId": "a"})
        assert (status, list(body["errors"])) == (400, ["externalId"])
        status, body = await asker.post(f"{CUSTOMERS}/1/edit", by="id", customer={"externalId": "a"})
        assert (status, list(body["errors"])) == (400, ["externalId"])
        assert (await asker.get(f"{CUSTOMERS}/a"))[1]["customer"]["id"] == id

    async def test_a_number_without_by_is_an_external_id(self, asker: Asker) -> None:
        assert (await asker.get(f"{CUSTOMERS}/1"))[0] == 404
        id = await created(asker, externalId="1")
        assert (await asker.get(f"{CUSTOMERS}/1"))[1]["customer"]["id"] == id
        assert (await asker.get(f"{CUSTOMERS}/1", by="id"))[1]["customer"]["id"] == 1

    @pytest.mark.parametrize("key", ["999", "0", "x", "١", "1.0", "-1"])
    async def test_whom_there_is_not_is_not_found(self, asker: Asker, key: str) -> None:
        assert await asker.get(f"{CUSTOMERS}/{key}", by="id") == (404, {"success": False, "errorMsg": "Not found"})
        status, _ = await asker.post(f"{CUSTOMERS}/{key}/edit", by="id", customer={"firstName": "x"})
        assert status == 404

    async def test_an_edit_changes_what_it_names(self, asker: Asker) -> None:
        id = await created(asker, firstName="Анна", email="a@example.com", customFields={"a": 1}, addTags=["x", "y"])
        edit = {"firstName": "Яна", "customFields": {"b": 2}, "addTags": ["z"], "removeTags": ["x"]}
        assert (await asker.post(f"{CUSTOMERS}/{id}/edit", by="id", customer=edit))[1]["id"] == id
        customer = book(asker).by_id[id]
        assert (customer["firstName"], customer["email"]) == ("Яна", "a@example.com")
        assert customer["customFields"] == {"a": 1, "b": 2}
        assert [tag["name"] for tag in customer["tags"]] == ["y", "z"]

    async def test_a_store_that_there_is_not_is_refused(self, asker: Asker) -> None:
        customer = {"firstName": "x"}
        for status, body in (
            await asker.post(f"{CUSTOMERS}/create", site="moon", customer=customer),
            await asker.post(f"{CUSTOMERS}/1/edit", site="moon", by="id", customer=customer),
            await asker.post(f"{CUSTOMERS}/upload", site="moon", customers=[customer]),
        ):
            assert (status, list(body["errors"])) == (400, ["site"])

    async def test_of_an_upload_the_known_fail_and_the_others_are_taken(self, asker: Asker) -> None:
        await created(asker, externalId="a")
        customers = [{"externalId": "a"}, {"externalId": "b"}, {"firstName": "x"}]
        status, body = await asker.post(f"{CUSTOMERS}/upload", customers=customers)
        assert (status, body["success"], body["errorMsg"]) == (460, False, "Customers are loaded with errors")
        assert body["failedCustomers"] == [{"externalId": "a"}]
        assert [one.get("externalId") for one in body["uploadedCustomers"]] == ["b", None]
        assert list(body["errors"]) == ["a"]

    async def test_external_ids_are_fixed_all_or_none(self, asker: Asker) -> None:
        id = await created(asker, externalId="a")
        pairs = [{"id": 1, "externalId": "b"}, {"id": 99, "externalId": "c"}]
        assert (await asker.post(f"{CUSTOMERS}/fix-external-ids", customers=pairs))[0] == 400
        pairs = [{"id": 1, "externalId": "b"}, {"id": 1, "externalId": "a"}]
        assert (await asker.post(f"{CUSTOMERS}/fix-external-ids", customers=pairs))[0] == 400
        assert "externalId" not in book(asker).by_id[1]
        pairs = [{"id": 1, "externalId": "b"}, {"id": id, "externalId": "a"}]
        assert (await asker.post(f"{CUSTOMERS}/fix-external-ids", customers=pairs))[0] == 200
        assert (await asker.get(f"{CUSTOMERS}/b"))[1]["customer"]["id"] == 1


class TestFound:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("79161234567", 1),
            ("9161234567", 1),
            ("89161234567", 0),
            ("+7 916", 1),
            ("Ольга", 1),
            ("ольга п", 1),
            ("x", 0),
        ],
    )
    async def test_a_part_of_a_name_or_of_the_digits_as_typed_is_enough(
        self, asker: Asker, text: str, count: int
    ) -> None:
        assert len(await found(asker, **{"filter[name]": text})) == count

    @pytest.mark.parametrize(
        ("text", "count"), [("79161234567", 1), ("9161234567", 0), ("Ольга", 0), ("ольга петрова", 1)]
    )
    async def test_or_it_must_be_all_of_it(self, text: str, count: int) -> None:
        async with asker_of(finds_parts=False) as asker:
            assert len(await found(asker, **{"filter[name]": text})) == count

    async def test_a_filter_that_there_is_not_is_refused_or_passed_over(self, asker: Asker) -> None:
        await created(asker, firstName="other")
        status, body = await asker.get(CUSTOMERS, **{"filter[phone]": "+79161234567"})
        assert (status, list(body["errors"])) == (400, ["phone"])
        async with asker_of(ignores_unknown=True) as lenient:
            await created(lenient, firstName="other")
            assert await found(lenient, **{"filter[phone]": "+79161234567"}) == [2, 1]
            assert (await lenient.get(CUSTOMERS, limit="30"))[0] == 400

    async def test_filters_narrow_the_list(self, asker: Asker) -> None:
        id = await created(asker, externalId="a", email="a@example.com", managerId=27, isContact=True, vip=True)
        for query in (
            {"filter[externalIds][0]": "a"},
            {"filter[ids][]": str(id)},
            {"filter[email]": "a@example.com"},
            {"filter[managers][]": "27"},
            {"filter[isContact]": "1"},
            {"filter[vip]": "1"},
            {"filter[dateFrom]": "2026-01-01"},
        ):
            assert await found(asker, **query) == [id], query
        assert await found(asker, **{"filter[sites][]": "moon"}) == []
        assert await found(asker, **{"filter[dateTo]": "2021-01-01"}) == [1]

    async def test_many_values_of_one_filter_are_a_list_in_both_spellings(self, asker: Asker) -> None:
        ids = [await created(asker, firstName=str(number)) for number in range(3)]
        for first, second in (("filter[ids][0]", "filter[ids][1]"), ("filter[ids][]", "filter[ids][]")):
            url = f"{asker.url}{CUSTOMERS}"
            params = [(first, str(ids[0])), (second, str(ids[2]))]
            async with asker.session.get(url, params=params, headers={"X-API-KEY": "key-of-romashka"}) as response:
                assert [one["id"] for one in (await response.json())["customers"]] == [ids[2], ids[0]]

    async def test_pages_are_of_three_sizes(self, asker: Asker) -> None:
        for number in range(25):
            book(asker).create({"firstName": str(number)}, NOW)
        _, body = await asker.get(CUSTOMERS, page="2")
        assert (len(body["customers"]), body["pagination"]["totalPageCount"]) == (6, 2)
        for limit in ("10", "25", "250", "0"):
            assert (await asker.get(CUSTOMERS, limit=limit))[0] == 400

    async def test_a_popup_and_the_lookup_know_who_was_created(self, asker: Asker) -> None:
        await created(asker, firstName="Яна", lastName="Б", managerId=31, phones=[{"number": "8 916 000-00-02"}])
        await asker.post(
            "/api/v5/telephony/call/event", event={"phone": "+79160000002", "type": "in", "codes": ["101"]}
        )
        [popup] = asker.crm.accounts[0].open_popups()
        assert popup.customer == "Яна Б"
        _, body = await asker.get("/api/v5/telephony/manager", phone="+79160000002", details="1")
        assert (body["manager"]["id"], body["customer"]["phones"]) == (31, [{"number": "8 916 000-00-02"}])


class TestMerged:
    async def test_one_who_was_merged_names_the_one_who_remained(self, asker: Asker) -> None:
        id = await created(asker, externalId="a", phones=[{"number": "8 916"}])
        book(asker).combine(1, [id], NOW, person(27))
        for path, by in ((str(id), "id"), ("a", "externalId")):
            status, body = await asker.get(f"{CUSTOMERS}/{path}", by=by)
            assert (status, body["errorMsg"], body["combinedTo"]) == (404, "Not found", {"id": 1})
        assert [one["number"] for one in book(asker).by_id[1]["phones"]] == ["+79161234567", "8 916"]
        assert await found(asker) == [1]

    async def test_his_external_id_stays_his(self, asker: Asker) -> None:
        id = await created(asker, externalId="a")
        book(asker).combine(1, [id], NOW, person(27))
        assert (await asker.post(f"{CUSTOMERS}/create", customer={"externalId": "a"}))[0] == 400

    async def test_the_history_tells_it(self, asker: Asker) -> None:
        id = await created(asker, externalId="a")
        book(asker).combine(1, [id], NOW, person(27))
        _, body = await asker.get(HISTORY)
        record = body["history"][-1]
        assert (record["deleted"], record["customer"]["id"], record["combinedTo"]["id"]) == (True, id, 1)
        assert (record["newValue"], record["user"]) == (None, {"id": 27})


class TestHistory:
    async def test_each_field_is_a_record_and_a_new_customer_whole(self, asker: Asker) -> None:
        id = await created(asker, firstName="Анна", phones=[{"number": "1"}, {"number": "2"}])
        edit = {
            "firstName": "Яна",
            "managerId": 27,
            "phones": [{"number": "2"}, {"number": "3"}],
            "customFields": {"a": 1},
        }
        await asker.post(f"{CUSTOMERS}/{id}/edit", by="id", customer=edit)
        _, body = await asker.get(HISTORY)
        first, *others = body["history"]
        assert (first["created"], first["field"], first["newValue"], first["customer"]["firstName"]) == (
            True, "id", id, "Анна",
        )  # fmt: skip
        told = [(one["field"], one["oldValue"], one["newValue"]) for one in others]
        assert sorted(told, key=str) == [
            ("custom_a", None, 1),
            ("first_name", "Анна", "Яна"),
            ("manager", None, {"id": 27}),
            ("phones", "1", None),
            ("phones", None, "3"),
        ]
        assert all(one["customer"] == {"id": id, "site": "romashka"} for one in others)

    async def test_an_edit_that_changes_nothing_is_no_change(self, asker: Asker) -> None:
        id = await created(asker, firstName="Анна")
        await asker.post(f"{CUSTOMERS}/{id}/edit", by="id", customer={"firstName": "Анна"})
        assert len((await asker.get(HISTORY))[1]["history"]) == 1

    async def test_our_own_echoes_are_marked(self, asker: Asker) -> None:
        id = await created(asker, firstName="Анна")
        for doer in (person(27), ANOTHER_KEY):
            book(asker).edit(id, {"firstName": doer.source}, NOW, doer)
        _, body = await asker.get(HISTORY)
        assert [(one["source"], one.get("apiKey"), one.get("user")) for one in body["history"]] == [
            ("api", {"current": True}, None),
            ("user", None, {"id": 27}),
            ("api", {"current": False}, None),
        ]

    async def test_the_cursor_moves_by_ids_and_never_by_pages(self, asker: Asker) -> None:
        for number in range(45):
            book(asker).create({"firstName": str(number)}, NOW)
        seen: list[int] = []
        pages = 2
        while pages > 1:
            query = {"filter[sinceId]": str(seen[-1])} if seen else {}
            _, body = await asker.get(HISTORY, limit="20", **query)
            seen += [one["id"] for one in body["history"]]
            pages = body["pagination"]["totalPageCount"]
        assert seen == list(range(1, 46))
        status, body = await asker.get(HISTORY, page="1", **{"filter[sinceId]": "5"})
        assert (status, list(body["errors"])) == (400, ["page"])

    async def test_it_can_begin_at_a_time_of_the_accounts(self, asker: Asker) -> None:
        for hour in (9, 10, 11):
            book(asker).create({"firstName": str(hour)}, NOW.replace(hour=hour))
        _, body = await asker.get(HISTORY, **{"filter[startDate]": "2026-11-24 13:15:00"})
        assert [one["createdAt"] for one in body["history"]] == ["2026-11-24 13:15:00", "2026-11-24 14:15:00"]
        _, body = await asker.get(HISTORY, **{"filter[customerId]": "3"})
        assert [one["customer"]["firstName"] for one in body["history"]] == ["10"]


async def test_who_is_deleted_is_gone(asker: Asker) -> None:
    account: CrmAccount = asker.crm.accounts[0]
    account.customers.delete(1, NOW, person(27))
    assert await asker.get(f"{CUSTOMERS}/1", by="id") == (404, {"success": False, "errorMsg": "Not found"})
    [record] = account.customers.history.records
    assert (record["deleted"], record["newValue"], record["customer"]["id"]) == (True, None, 1)
