"""What becomes of the calls of one upload when the CRM does not take all of them, or answers badly."""

from __future__ import annotations

import asyncio

from aiohttp import web
from structlog.testing import capture_logs

from amibridge.calls.record import CallRecord
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import KEY, Table, now, running
from tests.delivery.rows import history
from tests.delivery.scripted_crm import (
    UPLOAD,
    ScriptedCrm,
    busy,
    html,
    nonsense,
    says,
)
from tests.delivery.waiting import until


async def test_of_an_upload_that_was_taken_in_part_the_rest_is_sent_again(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    """By the answer nobody knows which: those it has come back as known."""

    async def took_two() -> web.StreamResponse:
        for call in scripted.of(UPLOAD)[0].said[:2]:
            scripted.calls[KEY][call["externalId"]] = call
        return web.json_response({"success": True, "processedCallsCount": 2, "duplicateCalls": []})

    scripted.script[UPLOAD].append(took_two)
    ids = range(1, 6)
    table = Table([history(number, f"pbx:{number}") for number in ids])
    async with running(enterprise, crm, table):
        await until(lambda: table.all(DeliveryStatus.SENT, ids))
    assert scripted.calls[KEY].keys() == {f"pbx:{number}" for number in ids}
    assert [len(heard.said) for heard in scripted.of(UPLOAD)] == [5, 2, 3]
    assert scripted.duplicates == 2


async def test_one_bad_call_does_not_hold_its_upload_back(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.refused_calls = {"pbx:17"}
    at = now()
    table = Table([history(i, f"pbx:{i}", at=at) for i in range(1, 51)])
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([history(51, "pbx:51", at=at)])
            await until(lambda: len(table.verdicts) == 51)
    assert table.status(17) == DeliveryStatus.PARKED
    assert table.verdicts[17].answer == "Errors in the entity format (HTTP 400)"
    assert set(scripted.calls[KEY]) == {f"pbx:{i}" for i in range(1, 52) if i != 17}
    assert scripted.duplicates == 0
    assert [line["call"] for line in logs if line["event"] == "call_parked"] == ["pbx:17"]


async def test_one_call_that_breaks_the_crm_does_not_hold_the_others_back(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.breaking_calls = {"pbx:7"}
    # Rows that have failed twice already: the third failure is what makes them travel with fewer.
    table = Table([history(i, f"pbx:{i}", at=now(), attempts=2) for i in range(1, 51)])
    async with running(enterprise, crm, table):
        await until(lambda: len(scripted.calls[KEY]) == 49)
    assert table.status(7) == DeliveryStatus.DUE


async def test_an_upload_of_which_the_crm_took_nothing_is_sent_again(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    async def took_none() -> web.StreamResponse:
        return web.json_response({"success": True, "processedCallsCount": 0})

    scripted.script[UPLOAD].append(took_none)
    table = Table([history(number, f"pbx:{number}") for number in (1, 2)])
    async with running(enterprise, crm, table):
        await until(lambda: table.all(DeliveryStatus.SENT, (1, 2)))
    assert scripted.calls[KEY].keys() == {"pbx:1", "pbx:2"}
    assert [one.status for one in table.history if one.id == 1] == [DeliveryStatus.DUE, DeliveryStatus.SENT]


async def test_busy_broken_and_silent_answers_cost_tries_and_no_call(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.script[UPLOAD].extend([busy(), html, nonsense, busy("0"), says(500, "Internal Server Error")])
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
    over.set()
    assert len(scripted.of(UPLOAD)) == 6
    assert list(scripted.calls[KEY]) == ["pbx:1"]
    assert table.verdicts[1].attempts == 6
    assert [settlement.status for settlement in table.history] == [DeliveryStatus.DUE] * 5 + [DeliveryStatus.SENT]
    said = [line["event"] for line in logs if line["event"].startswith("crm_")]
    assert said == ["crm_in_trouble", "crm_resumed"]


async def test_an_upload_repeated_after_a_lost_answer_is_no_second_call(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    table, at = Table(), now()
    scripted.calls[KEY]["pbx:1"] = {"externalId": "pbx:1"}
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
    assert table.verdicts[1].answer == "known already"
    (line,) = [line for line in logs if line["event"] == "call_delivered"]
    assert line["duplicate"] is True


async def test_a_call_that_cannot_be_expressed_is_parked_and_the_others_go(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    def record_url(_: Enterprise, of: CallRecord) -> str | None:
        if of.call_id == "pbx:2":
            raise RuntimeError("a bug")
        return f"https://bridge/{of.call_id}"

    table, at = Table(), now()
    async with running(enterprise, crm, table, record_url=record_url) as lane:
        lane.offer([history(i, f"pbx:{i}", at=at) for i in range(1, 5)])
        await until(lambda: len(table.verdicts) == 4)
    assert table.status(2) == DeliveryStatus.PARKED
    assert {call["recordUrl"] for call in scripted.calls[KEY].values()} == {
        f"https://bridge/pbx:{i}" for i in (1, 3, 4)
    }
