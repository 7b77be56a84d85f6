"""A popup is told while it is news, as often as it takes; what the CRM does not know in it is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Operator
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.lane_at_work import Table, now, running
from tests.delivery.rows import history, popup, rang, stopped
from tests.delivery.scripted_crm import (
    EVENT,
    ScriptedCrm,
    hang,
    html,
    nonsense,
)
from tests.delivery.waiting import until


async def test_a_popup_is_tried_again_while_it_is_news(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.script[EVENT].extend([html, nonsense])
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([popup(1, rang("pbx:1", "101", at), at=at)])
        await until(lambda: table.status(1) == DeliveryStatus.SENT)
    assert len(scripted.of(EVENT)) == 3


async def test_a_popup_whose_time_is_over_is_not_sent(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer(
            [
                popup(1, rang("pbx:1", "101", at), at=at - timedelta(seconds=21)),
                popup(2, stopped("pbx:1", "101", at), at=at),
                popup(3, rang("pbx:2", "101", at), at=at),
            ]
        )
        await until(lambda: table.status(3) == DeliveryStatus.SENT)
    assert table.all(DeliveryStatus.DROPPED, [1, 2])
    assert scripted.types("pbx:1") == []


async def test_a_crm_that_hangs_costs_a_popup_no_more_than_its_time(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.always[EVENT] = hang(over)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([popup(1, rang("pbx:1", "101", at), at=at, fresh_for=timedelta(seconds=0.3))])
        lane.offer([history(2, "pbx:2", at=at)])
        await until(lambda: table.status(1) == DeliveryStatus.DROPPED)
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
        # It may have arrived: what it opened is closed.
        del scripted.always[EVENT]
        lane.offer([popup(3, stopped("pbx:1", "101", at), at=now())])
        await until(lambda: table.status(3) == DeliveryStatus.SENT)
    over.set()
    assert scripted.types("pbx:1") == ["in", "hangup"]


async def test_an_unknown_extension_is_said_once(enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm) -> None:
    scripted.unknown_codes = {"101"}
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            for id in (1, 2, 3):
                lane.offer([popup(id, rang(f"pbx:{id}", "101", at), at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2, 3]))
    said = [line for line in logs if line["event"] == "crm_knows_no_such_extension"]
    assert [line["extension"] for line in said] == ["101"]
    assert {verdict.answer for verdict in table.verdicts.values()} == {"accepted; the CRM does not know 101"}


async def test_so_is_an_unknown_user_who_is_told_apart(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.unknown_users = {44}
    operators = {Extension("101"): Operator(Extension("101"), 44), Extension("102"): Operator(Extension("102"))}
    scripted.unknown_codes = {"102"}
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(replace(enterprise, operators=operators), crm, table) as lane:
            lane.offer([popup(id, rang("pbx:1", extension, at), at=at) for id, extension in ((1, "101"), (2, "102"))])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2]))
    assert {line["user"] for line in logs if line["event"] == "crm_knows_no_such_user"} == {"44"}
    assert {line["extension"] for line in logs if line["event"] == "crm_knows_no_such_extension"} == {"102"}
    assert {verdict.answer for verdict in table.verdicts.values()} == {"accepted; the CRM does not know 102, user 44"}


async def test_a_popup_that_cannot_be_expressed_is_dropped(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def popup_with_a_bug(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(render, "popup", popup_with_a_bug)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([popup(1, rang("pbx:1", "101", at), at=at), history(2, "pbx:1", at=at)])
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
    assert table.status(1) == DeliveryStatus.DROPPED
