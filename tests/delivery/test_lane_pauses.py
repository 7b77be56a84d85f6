"""When a CRM wants silence or another key: who waits, for how long, and what is given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import Enterprise
from amibridge.redact import Secret
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import KEY, Clock, Table, now, running
from tests.delivery.rows import history, popup, rang
from tests.delivery.scripted_crm import (
    EVENT,
    UPLOAD,
    ScriptedCrm,
    busy,
    html,
    says,
)
from tests.delivery.waiting import until


async def test_retry_after_silences_the_whole_lane(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.script[UPLOAD].append(busy("1"))
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: table.status(1) == DeliveryStatus.DUE)
        lane.offer([popup(2, rang("pbx:2", "101", at), at=at)])
        await until(lambda: table.all(DeliveryStatus.SENT, [1, 2]))
    first, *others = scripted.heard
    assert min(heard.at for heard in others) >= first.at + 0.95


async def test_a_wrong_key_pauses_and_a_new_key_goes_on(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.keys = {"the-right-key"}
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: table.status(1) == DeliveryStatus.DUE)
            lane.offer([popup(i, rang(f"pbx:{i}", "101", at), at=at) for i in range(2, 9)])
            await asyncio.sleep(0.1)
            assert len(scripted.heard) == 1
            lane.reconfigure(replace(enterprise, account=replace(enterprise.account, api_key=Secret("the-right-key"))))
            await until(lambda: table.all(DeliveryStatus.SENT, range(1, 9)))
    assert list(scripted.calls["the-right-key"]) == ["pbx:1"]
    assert [line["event"] for line in logs if line["event"].startswith("crm_")] == ["crm_paused", "crm_resumed"]
    assert "apiKey" in next(line["reason"] for line in logs if line["event"] == "crm_paused")
    assert not any(KEY in str(line) or "the-right-key" in str(line) for line in logs)


@pytest.mark.parametrize("text", ["Telephony not enabled", "Access denied."])
async def test_after_a_pause_one_request_tries_the_water(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, text: str
) -> None:
    scripted.script[EVENT].extend([says(400, text)] * 2)
    table, clock, at = Table(), Clock(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table, now=clock) as lane:
            lane.offer([popup(1, rang("pbx:1", "101", at), at=at)])
            await until(lambda: table.status(1) == DeliveryStatus.DUE)
            clock.ahead = timedelta(seconds=61)
            later = clock()
            lane.offer([popup(i, rang(f"pbx:{i}", "101", later), at=later) for i in range(2, 9)])
            await until(lambda: table.status(2) == DeliveryStatus.DUE)
            assert len(scripted.heard) == 2
            assert table.status(1) == DeliveryStatus.DROPPED
            clock.ahead = timedelta(seconds=61 + 121)
            later = clock()
            lane.offer([popup(i, rang(f"pbx:{i}", "101", later), at=later) for i in range(12, 19)])
            await until(lambda: table.all(DeliveryStatus.SENT, range(12, 19)))
    assert [line["event"] for line in logs if line["event"].startswith("crm_")] == ["crm_paused", "crm_resumed"]


async def test_history_that_waited_for_days_is_not_given_up_at_its_first_try(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    """The daemon was off, or the account's telephony was."""
    scripted.script[UPLOAD].append(html)
    table = Table([history(1, "pbx:1", at=now() - timedelta(days=6))])
    async with running(enterprise, crm, table):
        await until(lambda: table.status(1) in (DeliveryStatus.SENT, DeliveryStatus.PARKED))
    assert [one.status for one in table.history] == [DeliveryStatus.DUE, DeliveryStatus.SENT]


async def test_the_days_of_a_pause_are_no_days_of_tries(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.script[UPLOAD].extend([html, says(400, "Telephony not enabled"), html])
    table, clock, at = Table(), Clock(), now()
    async with running(enterprise, crm, table, now=clock) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: len(table.history) == 2)
        assert table.verdicts[1].first_tried_at is not None
        clock.ahead = timedelta(days=6)
        lane.offer([popup(2, rang("pbx:2", "101", at), at=at)])  # which wakes the lane, and is no longer news
        await until(lambda: len(scripted.of(UPLOAD)) == 3 and len(table.history) >= 4)
        assert table.status(1) == DeliveryStatus.DUE
        clock.ahead += timedelta(minutes=2)
        lane.offer([popup(3, rang("pbx:3", "101", at), at=at)])
        await until(lambda: table.status(1) == DeliveryStatus.SENT)


async def test_history_that_was_tried_for_days_is_parked(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.always[UPLOAD] = html
    row = replace(history(1, "pbx:1", attempts=9), first_tried_at=now() - timedelta(days=5))
    table = Table([row])
    async with running(enterprise, crm, table):
        await until(lambda: table.status(1) == DeliveryStatus.PARKED)
