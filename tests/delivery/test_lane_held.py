"""While our module is off in the CRM, nothing is sent and nothing is lost; what a key may not do is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from amibridge.delivery import plan as plan_module
from amibridge.delivery.rights import AGAIN_AFTER, FAILED_AGAIN_AFTER
from amibridge.enterprises import Enterprise, ModuleStanding
from amibridge.redact import Secret
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.replies import REQUIRED_SCOPES
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import KEY, Clock, Table, now, running
from tests.delivery.rows import history, popup, rang, stopped
from tests.delivery.scripted_crm import CREDENTIALS, SETTINGS, UPLOAD, Answer, ScriptedCrm, hang, html, says
from tests.delivery.waiting import until

OFF, FROZEN = ModuleStanding(active=False), ModuleStanding(frozen=True)


@pytest.mark.parametrize(("module", "why"), [(OFF, "switched off"), (FROZEN, "frozen")])
@pytest.mark.parametrize("zone", [ZoneInfo("Europe/Minsk"), None])
async def test_nothing_is_asked_and_history_waits_until_the_crm_says_otherwise(
    enterprise: Enterprise,
    crm: RetailCrm,
    scripted: ScriptedCrm,
    module: ModuleStanding,
    why: str,
    zone: ZoneInfo | None,
) -> None:
    enterprise = replace(enterprise, time_zone=zone)
    clock, at = Clock(), now()
    table = Table([history(1, "pbx:1", at=at)])
    with capture_logs() as logs:
        async with running(replace(enterprise, module=module), crm, table, now=clock) as lane:
            standing = lane.crm_standing()
            assert standing.state == "paused"
            assert why in (standing.reason or "")
            lane.offer([popup(2, rang("pbx:2", "101", at), at=at), history(3, "pbx:2", at=at)])
            # A popup that grows stale meanwhile is dropped; days do no harm to history.
            clock.ahead = timedelta(days=7)
            lane.offer([popup(4, rang("pbx:4", "101", clock()), at=clock())])
            await until(lambda: table.status(2) == DeliveryStatus.DROPPED)
            assert (scripted.heard, scripted.asked_rights) == ([], [])
            assert table.status(4) is None
            lane.reconfigure(enterprise)
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 3, 4]))
            assert lane.crm_standing().state == "well"
    assert scripted.calls[KEY].keys() == {"pbx:1", "pbx:2"}
    said = [line for line in logs if line["event"] in ("crm_paused", "crm_resumed")]
    assert [line["event"] for line in said] == ["crm_paused", "crm_resumed"]
    assert why in said[0]["reason"]


async def test_it_is_obeyed_at_once_and_an_answer_on_its_way_does_not_end_it(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.script[UPLOAD].append(hang(over))
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: scripted.heard)
            lane.reconfigure(replace(enterprise, module=FROZEN))
            lane.offer([history(2, "pbx:2", at=at), popup(3, rang("pbx:3", "101", at), at=at)])
            over.set()
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
            # Said again, or said otherwise, it is still a pause, and only another reason is news.
            lane.reconfigure(replace(enterprise, module=FROZEN))
            lane.reconfigure(replace(enterprise, module=OFF))
            assert "switched off" in (lane.crm_standing().reason or "")
            # A new key does not switch a module on.
            lane.reconfigure(
                replace(
                    enterprise, module=OFF, account=replace(enterprise.account, api_key=Secret("another-key-of-one"))
                )
            )
            assert lane.crm_standing().state == "paused"
    assert len(scripted.heard) == 1
    assert [line["event"] for line in logs if line["event"].startswith("crm_")] == ["crm_paused", "crm_paused"]
    assert table.status(2) is table.status(3) is None


async def test_a_pause_ends_when_the_module_was_registered_meanwhile(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.always[UPLOAD] = says(400, "Telephony not enabled or not supports calls upload")
    table = Table()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=now())])
        await until(lambda: lane.crm_standing().state == "paused")
        del scripted.always[UPLOAD]
        lane.reconfigure(replace(enterprise, name="Василёк"))
        assert lane.crm_standing().state == "paused"
        lane.reconfigure(replace(enterprise, module=ModuleStanding(told_at=now())))
        await until(lambda: table.status(1) == DeliveryStatus.SENT)
        assert lane.crm_standing().state == "well"


@pytest.mark.parametrize("answer", [html, says(403, 'Wrong "apiKey" value.')])
async def test_a_failure_on_its_way_says_nothing_of_a_module_that_is_off(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, answer: Answer
) -> None:
    over = asyncio.Event()

    async def late() -> object:
        await over.wait()
        return await answer()

    scripted.script[UPLOAD].append(late)  # type: ignore[arg-type]
    table = Table()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=now())])
        await until(lambda: scripted.heard)
        lane.reconfigure(replace(enterprise, module=OFF))
        over.set()
        await until(lambda: table.status(1) == DeliveryStatus.DUE)
        assert "switched off" in (lane.crm_standing().reason or "")
        lane.reconfigure(enterprise)
        await until(lambda: table.status(1) == DeliveryStatus.SENT)


def test_a_sweep_drops_some_at_a_time_and_keeps_what_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "DROPS_AT_ONCE", 3)
    at = now()
    agenda = plan_module.Agenda()
    for number in range(1, 6):
        agenda.add(popup(number, rang(f"pbx:{number}", "101", at), at=at - timedelta(minutes=1)))
    agenda.add(history(10, "pbx:1", at=at))
    agenda.add(popup(11, rang("pbx:11", "101", at), at=at))
    agenda.add(popup(12, stopped("pbx:5", "101", at), at=at))
    first, second, third = (agenda.sweep(at) for _ in range(3))
    assert [one.row.id for one in (*first, *second, *third)] == [1, 2, 3, 4, 5, 12]
    assert (len(first), third) == (3, ())
    # What is left is sent when it may be.
    found = agenda.plan(at, popup_slots=6, history_slot=True)
    assert sorted(row.id for send in found.sends for row in send.rows) == [10, 11]


async def test_a_time_zone_is_asked_anew_when_the_crm_says_that_settings_changed(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    table, at = Table(), now()
    async with running(replace(enterprise, time_zone=None), crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: table.status(1) == DeliveryStatus.SENT)
        scripted.zone = "Asia/Yekaterinburg"
        lane.forget_zone()
        lane.offer([history(2, "pbx:2", at=at)])
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
    assert len(scripted.of(SETTINGS)) == 2
    dates = [scripted.calls[KEY][call]["date"] for call in ("pbx:1", "pbx:2")]
    assert dates == ["2026-03-10 14:59:20", "2026-03-10 16:59:20"]


class TestRights:
    async def test_what_is_missing_is_one_line_and_holds_nothing_back(
        self, enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
    ) -> None:
        scripted.scopes = [one for one in REQUIRED_SCOPES if one not in ("telephony_write", "user_read")]
        table, clock = Table(), Clock()
        with capture_logs() as logs:
            async with running(replace(enterprise, create_orders=True), crm, table, now=clock) as lane:
                await until(lambda: any(line["event"] == "crm_key_lacks_rights" for line in logs))
                lane.offer([history(1, "pbx:1", at=now())])
                await until(lambda: table.status(1) == DeliveryStatus.SENT)
                assert scripted.asked_rights == [KEY]
                # Some hours later it is asked again, and only something else is news.
                clock.ahead = AGAIN_AFTER + timedelta(seconds=1)
                lane.offer([history(2, "pbx:2", at=now())])
                await until(lambda: len(scripted.asked_rights) == 2)
                assert lane.crm_standing().state == "well"
        [line] = [line for line in logs if line["event"] == "crm_key_lacks_rights"]
        assert (line["log_level"], line["enterprise"]) == ("warning", "0001")
        assert line["rights"] == ("telephony_write", "user_read", "order_write")

    async def test_a_key_that_has_them_all_is_not_spoken_of_and_a_new_account_is_asked(
        self, enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
    ) -> None:
        scripted.keys.add("another-key-of-one")
        with capture_logs() as logs:
            async with running(enterprise, crm, Table()) as lane:
                await until(lambda: scripted.asked_rights == [KEY])
                lane.reconfigure(replace(enterprise, name="Василёк"))
                account = replace(enterprise.account, api_key=Secret("another-key-of-one"))
                lane.reconfigure(replace(enterprise, account=account))
                await until(lambda: scripted.asked_rights == [KEY, "another-key-of-one"])
        assert [line for line in logs if line["event"].startswith("crm_")] == []

    @pytest.mark.parametrize("answer", [html, says(403, "Access denied."), says(404, "API method not found")])
    async def test_a_crm_that_does_not_answer_it_is_asked_later_and_deliveries_go_on(
        self, enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, answer: Answer
    ) -> None:
        scripted.always[CREDENTIALS] = answer
        table, clock = Table(), Clock()
        with capture_logs() as logs:
            async with running(enterprise, crm, table, now=clock) as lane:
                await until(lambda: scripted.asked_rights)
                lane.offer([history(1, "pbx:1", at=now())])
                await until(lambda: table.status(1) == DeliveryStatus.SENT)
                assert len(scripted.asked_rights) == 1
                clock.ahead = FAILED_AGAIN_AFTER + timedelta(seconds=1)
                lane.offer([history(2, "pbx:2", at=now())])
                await until(lambda: len(scripted.asked_rights) == 2)
        assert [line for line in logs if line["event"].startswith("crm_")] == []

    async def test_one_that_hangs_holds_up_neither_deliveries_nor_the_stop(
        self, enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
    ) -> None:
        over = asyncio.Event()
        scripted.always[CREDENTIALS] = hang(over)
        table = Table()
        async with running(enterprise, crm, table) as lane:
            await until(lambda: scripted.asked_rights)
            lane.offer([history(1, "pbx:1", at=now())])
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
        over.set()
