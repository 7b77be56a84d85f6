"""Orders, people, notices, tasks and rights in the sandbox CRM."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from amibridge.sandbox.crm_faults import Busy, Cut, TelephonyOff
from amibridge.sandbox.crm_history import person
from amibridge.sandbox.crm_orders import Orders
from tests.retailcrm.contract import VERBS, Verb
from tests.sandbox.crm_asker import EVENT, UPLOAD, Asker, finished, ringing
from tests.sandbox.test_retailcrm_customers import CUSTOMERS, asker_of
from tests.sandbox.test_retailcrm_forms import MODULE
from tests.sandbox.test_retailcrm_verbs import GOOD, asked

ORDERS = "/api/v5/orders"
USERS = "/api/v5/users"
MODULE_PATH = f"/api/v5/integration-modules/{MODULE['code']}"
NOW = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)


def book(asker: Asker) -> Orders:
    return asker.crm.accounts[0].orders


async def created(asker: Asker, **fields: Any) -> int:
    status, body = await asker.post(f"{ORDERS}/create", order=fields)
    assert (status, body["order"]["id"]) == (201, body["id"])
    return int(body["id"])


class TestOrders:
    async def test_one_is_kept_with_its_customer_and_found_by_him(self, asker: Asker) -> None:
        id = await created(asker, externalId="o1", customer={"id": 1}, orderMethod="phone", phone="+79161234567")
        await created(asker, firstName="x")
        _, body = await asker.get(ORDERS, **{"filter[customerId]": "1"})
        [order] = body["orders"]
        assert (order["id"], order["status"], order["customer"]) == (
            id, "new", {"type": "customer", "id": 1, "site": "romashka"},
        )  # fmt: skip
        assert (await asker.get(f"{ORDERS}/o1"))[1]["order"] == order
        assert (await asker.get(f"{ORDERS}/{id}", by="id"))[1]["order"] == order
        assert (await asker.get(f"{ORDERS}/{id}"))[0] == 404

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"status": "gone"}, "status"),
            ({"orderMethod": "pigeon"}, "orderMethod"),
            ({"orderType": "x"}, "orderType"),
            ({"customer": {"id": 99}}, "customer"),
            ({"customer": {"externalId": "x"}}, "customer"),
            ({"externalId": "o1"}, "externalId"),
        ],
    )
    async def test_what_the_account_does_not_have_is_refused(
        self, asker: Asker, fields: dict[str, object], complaint: str
    ) -> None:
        id = await created(asker, externalId="o1")
        other = await created(asker, externalId="o2")
        status, body = await asker.post(f"{ORDERS}/create", order=fields)
        assert (status, list(body["errors"])) == (400, [complaint])
        status, body = await asker.post(f"{ORDERS}/{other}/edit", by="id", order=fields)
        assert (status, list(body["errors"])) == (400, [complaint])
        assert (await asker.post(f"{ORDERS}/{id}/edit", by="id", order={"externalId": "o1"}))[0] == 200

    async def test_statuses_are_told_with_their_groups(self, asker: Asker) -> None:
        ids = [await created(asker, externalId=name) for name in ("a", "b", "c")]
        await asker.post(f"{ORDERS}/a/edit", order={"status": "complete"})
        _, body = await asker.get(f"{ORDERS}/statuses", **{"ids[0]": str(ids[1]), "externalIds[0]": "a"})
        assert body["orders"] == [
            {"id": ids[0], "externalId": "a", "status": "complete", "group": "complete"},
            {"id": ids[1], "externalId": "b", "status": "new", "group": "new"},
        ]

    async def test_the_history_tells_each_field(self, asker: Asker) -> None:
        id = await created(asker, orderMethod="phone")
        payment = {"id": 1, "status": "paid", "type": "cash", "amount": 99.5}
        paid = {"status": "complete", "totalSumm": 99.5, "fullPaidAt": "2026-11-24 12:15:00", "payments": [payment]}
        book(asker).edit(id, paid, NOW, person(27))
        _, body = await asker.get(f"{ORDERS}/history")
        first, *others = body["history"]
        assert (first["created"], first["field"], first["newValue"], first["order"]["orderMethod"]) == (
            True, "status", {"code": "new"}, "phone",
        )  # fmt: skip
        assert {one["field"]: one["newValue"] for one in others} == {
            "status": {"code": "complete"}, "total_summ": 99.5, "full_paid_at": "2026-11-24 12:15:00",
            "payments": [payment],
        }  # fmt: skip
        assert all(one["order"] == {"id": id, "site": "romashka", "status": "complete"} for one in others)
        assert all(one["user"] == {"id": 27} for one in others)
        status, body = await asker.get(f"{ORDERS}/history", page="1", **{"filter[sinceId]": "1"})
        assert (status, list(body["errors"])) == (400, ["page"])

    async def test_a_deleted_one_is_gone_and_told(self, asker: Asker) -> None:
        id = await created(asker, firstName="x")
        book(asker).delete(id, NOW, person(27))
        assert (await asker.get(f"{ORDERS}/{id}", by="id"))[0] == 404
        assert (await asker.get(f"{ORDERS}/history"))[1]["history"][-1]["deleted"] is True

    async def test_the_dictionaries_agree_with_each_other(self, asker: Asker) -> None:
        groups = (await asker.get("/api/v5/reference/status-groups"))[1]["statusGroups"]
        statuses = (await asker.get("/api/v5/reference/statuses"))[1]["statuses"]
        assert {code: status["group"] for code, status in statuses.items()} == {
            code: group for group, said in groups.items() for code in said["statuses"]
        }
        assert list((await asker.get("/api/v5/reference/sites"))[1]["sites"]) == ["romashka"]


class TestPeople:
    async def test_a_status_that_was_set_is_told(self, asker: Asker) -> None:
        assert (await asker.post(f"{USERS}/27/status", status="dinner"))[0] == 200
        assert (await asker.get(f"{USERS}/27"))[1]["user"]["status"] == "dinner"
        _, body = await asker.get(USERS, **{"filter[status]": "dinner"})
        assert [one["id"] for one in body["users"]] == [27]
        assert (await asker.post(f"{USERS}/4/status", status="busy"))[0] == 404
        assert (await asker.get(f"{USERS}/4"))[0] == 404
        assert (await asker.post(f"{USERS}/27/status", x="1"))[1]["errorMsg"] == "Parameter 'status' is missing"

    async def test_who_is_not_free_is_no_ones_manager_unless_that_does_not_matter(self, asker: Asker) -> None:
        await asker.post(UPLOAD, calls=[finished()])
        await asker.post(f"{USERS}/27/status", status="busy")
        assert (await asker.get("/api/v5/telephony/manager", phone="+79161234567"))[1]["manager"] == []
        _, body = await asker.get("/api/v5/telephony/manager", phone="+79161234567", ignoreStatus="1")
        assert body["manager"]["id"] == 27

    async def test_codes_of_a_module_replace_all_and_an_empty_list_wipes_them(self, asker: Asker) -> None:
        def module(**codes: object) -> dict[str, object]:
            return MODULE | {"integrations": {"telephony": {"makeCallUrl": "https://x.example.com"} | codes}}

        [account, _] = asker.crm.accounts
        await asker.post(f"{MODULE_PATH}/edit", integrationModule=module())
        assert account.codes == {27: "101", 31: "102"}
        codes = [{"userId": 31, "code": "201"}, {"userId": 4, "code": "104"}]
        await asker.post(f"{MODULE_PATH}/edit", integrationModule=module(additionalCodes=codes))
        assert account.codes == {31: "201"}
        _, body = await asker.post(EVENT, event=ringing(codes=["101", "201"]))
        assert body["notExistCodes"] == ["101"]
        await asker.post(f"{MODULE_PATH}/edit", integrationModule=module(additionalCodes=[]))
        assert account.codes == {}

    async def test_a_notice_is_kept_for_those_it_is_for(self, asker: Asker) -> None:
        notice = {"type": "api.error", "message": "<p>missed</p>", "userIds": [27], "userGroups": ["manager"]}
        assert (await asker.post("/api/v5/notifications/send", notification=notice))[0] == 200
        [kept] = asker.crm.accounts[0].notices
        assert (kept.kind, kept.message, kept.users, kept.groups) == ("api.error", "<p>missed</p>", (27,), ("manager",))

    async def test_a_task_is_for_somebody_who_is_there(self, asker: Asker) -> None:
        status, body = await asker.post("/api/v5/tasks/create", task={"text": "call", "performerId": 4})
        assert (status, body["errorMsg"], list(body["errors"])) == (400, "Task is not loaded", ["performerId"])
        task = {"text": "call", "performerId": 27, "customer": {"id": 99}}
        assert (await asker.post("/api/v5/tasks/create", task=task))[0] == 400
        _, body = await asker.post("/api/v5/tasks/create", task=task | {"customer": {"id": 1}})
        assert (await asker.post(f"/api/v5/tasks/{body['id']}/edit", task={"complete": True}))[0] == 200
        assert asker.crm.accounts[0].tasks[body["id"]]["complete"] is True
        assert (await asker.post("/api/v5/tasks/9/edit", task={"complete": True}))[0] == 404

    async def test_a_task_is_told_of_with_its_performer_and_customer(self, asker: Asker) -> None:
        for performer in (27, 31):
            task = {"text": f"call {performer}", "performerId": performer, "customer": {"id": 1}}
            await asker.post("/api/v5/tasks/create", task=task)
        told = (await asker.get("/api/v5/tasks/1"))[1]["task"]
        assert (told["performer"], told["performerType"], told["complete"]) == (27, "user", False)
        assert told["customer"] == {"type": "customer", "id": 1, "site": "romashka"}
        assert (await asker.get("/api/v5/tasks/9"))[0] == 404
        assert [one["id"] for one in (await asker.get("/api/v5/tasks"))[1]["tasks"]] == [2, 1]
        for query, found in (
            ({"filter[performers][]": "31"}, [2]),
            ({"filter[ids][]": "1"}, [1]),
            ({"filter[createdAtFrom]": told["createdAt"][:10]}, [2, 1]),
            ({"filter[createdAtTo]": "2020-01-01"}, []),
        ):
            assert [one["id"] for one in (await asker.get("/api/v5/tasks", **query))[1]["tasks"]] == found
        status, body = await asker.get("/api/v5/tasks", **{"filter[phone]": "+79161234567"})
        assert (status, list(body["errors"])) == (400, ["phone"])


class TestTelephony:
    async def test_it_may_need_a_module(self) -> None:
        async with asker_of(needs_module=True) as asker:
            assert (await asker.post(EVENT, event=ringing()))[1]["errorMsg"] == "Telephony not enabled"
            await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE | {"active": False})
            assert (await asker.post(UPLOAD, calls=[finished()]))[0] == 400
            await asker.post(f"{MODULE_PATH}/edit", integrationModule=MODULE)
            assert (await asker.post(EVENT, event=ringing()))[0] == 200
            assert (await asker.post(UPLOAD, calls=[finished()]))[0] == 200


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.scope], ids=str)
async def test_a_key_without_the_right_is_denied(verb: Verb) -> None:
    async with asker_of(scopes=frozenset()) as asker:
        assert await asked(asker, verb, *GOOD[str(verb)]) == (403, {"success": False, "errorMsg": "Access denied."})
        assert (await asker.get("/api/credentials"))[1]["scopes"] == []
    async with asker_of(scopes=frozenset({verb.scope or ""})) as asker:
        assert (await asked(asker, verb, *GOOD[str(verb)]))[0] != 403
        assert (await asker.get("/api/credentials"))[1]["scopes"] == [verb.scope]


async def test_faults_befall_the_new_verbs_too(asker: Asker) -> None:
    asker.crm.faults.give(Busy(), path=CUSTOMERS)
    assert (await asker.get(CUSTOMERS))[0] == 503
    asker.crm.faults.give(TelephonyOff(), path=ORDERS)
    assert (await asker.get(ORDERS))[1]["errorMsg"] == "Telephony not enabled"
    asker.crm.faults.give(Cut(done=True), path=f"{CUSTOMERS}/create")
    with pytest.raises(aiohttp.ClientError):
        await asker.post(f"{CUSTOMERS}/create", customer={"externalId": "a"})
    assert (await asker.get(f"{CUSTOMERS}/a"))[0] == 200
