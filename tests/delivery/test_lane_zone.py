"""History is written by the clock of the account, which is asked for once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import Enterprise
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import KEY, Table, now, running
from tests.delivery.rows import history, popup, rang
from tests.delivery.scripted_crm import (
    SETTINGS,
    Answer,
    ScriptedCrm,
    hang,
    html,
    says,
)
from tests.delivery.waiting import until


async def test_the_time_zone_is_asked_once_and_popups_do_not_wait_for_it(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.zone = "Asia/Yekaterinburg"
    scripted.script[SETTINGS].append(html)
    scripted.script[SETTINGS].append(hang(over))
    table, at = Table(), now()
    async with running(replace(enterprise, time_zone=None), crm, table, jitter=0.1) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: len(scripted.of(SETTINGS)) == 2)
        lane.offer([popup(2, rang("pbx:2", "101", at), at=at)])
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
        assert table.status(1) is None
        over.set()
        await until(lambda: table.status(1) == DeliveryStatus.SENT)
        lane.offer([history(3, "pbx:3", at=at)])
        await until(lambda: table.status(3) == DeliveryStatus.SENT)
    # The answer of the hanging request names no zone, so a third one was needed, and no fourth.
    assert len(scripted.of(SETTINGS)) == 3
    assert scripted.calls[KEY]["pbx:1"]["date"] == "2026-03-10 16:59:20"


async def test_a_key_that_may_not_read_settings_holds_history_only(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.always[SETTINGS] = says(403, "Access denied.")
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(replace(enterprise, time_zone=None), crm, table) as lane:
            lane.offer([history(1, "pbx:1", at=at), popup(2, rang("pbx:2", "101", at), at=at)])
            await until(lambda: len(scripted.of(SETTINGS)) == 1)
            lane.offer([popup(3, rang("pbx:3", "101", at), at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [2, 3]))
            assert table.status(1) is None
            lane.reconfigure(enterprise)
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == ["crm_tells_no_time_zone"]


@pytest.mark.parametrize(
    ("answer", "event", "state"),
    [
        (says(403, 'Wrong "apiKey" value.'), "crm_paused", "paused"),
        (html, "crm_in_trouble", "troubled"),
    ],
)
async def test_a_crm_that_tells_nobody_anything_is_not_said_to_tell_no_time_zone(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, answer: Answer, event: str, state: str
) -> None:
    scripted.always[SETTINGS] = answer
    with capture_logs() as logs:
        async with running(replace(enterprise, time_zone=None), crm, Table(), jitter=0.1) as lane:
            assert (lane.crm_standing().state, lane.crm_standing().reason) == ("well", None)
            lane.offer([history(1, "pbx:1", at=now())])
            await until(lambda: lane.crm_standing().state == state)
            standing = lane.crm_standing()
            assert standing.reason
            lane.reconfigure(replace(enterprise, account=replace(enterprise.account, site="other")))
            assert (lane.crm_standing().state, lane.crm_standing().reason) == ("well", None)
            assert lane.crm_standing().since >= standing.since
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == [event]
