"""What is counted of a CRM is what it really said, and how long ringing phones really waited for their popups."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from amibridge.calls.notices import NoticeKind
from amibridge.delivery.policy import ANSWERS
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import Account, CrmStanding, EnterpriseId
from amibridge.redact import Secret
from amibridge.retailcrm.client import ABANDONED, ACCEPTED, RetailCrm
from amibridge.retailcrm.customers import customer
from amibridge.retailcrm.errors import CrmError
from amibridge.retailcrm.requests import settings
from amibridge.tallies import POPUP_DELAYS
from tests.delivery.bench import KEYS, Bench, enterprise
from tests.delivery.rows import dialled, ended, rang, record, stopped
from tests.delivery.scripted_crm import EVENT, SETTINGS, UPLOAD, Answer, ScriptedCrm, busy, hang, html, says

pytestmark = pytest.mark.postgres


def standing_of(deliveries: Deliveries, number: str) -> CrmStanding:
    return next(one for one in deliveries.standings() if one.enterprise == EnterpriseId(number))


async def test_deliveries_by_what_became_of_them(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.script[UPLOAD].append(busy())
    scripted.refused_calls.add("pbx:2")
    async with bench.running("0001", "0002") as deliveries:
        await bench.record("0001", rang("pbx:1", "101"))
        await bench.settled("0001")
        await bench.record("0001", stopped("pbx:1", "101"), ended(record("pbx:1")))
        await bench.settled("0001")
        await bench.record("0001", ended(record("pbx:2")))
        became = await bench.settled("0001")
        ours, theirs = standing_of(deliveries, "0001"), standing_of(deliveries, "0002")
    settled = ours.tally.settled
    for status in ("sent", "dropped", "parked"):
        assert sum(count for (_, word), count in settled.items() if word == status) == became.get(status, 0)
    assert became["parked"] == settled[NoticeKind.HISTORY, "parked"] == 1
    assert settled[NoticeKind.HISTORY, "due"] == 1, "it was busy once"
    assert theirs.tally.settled.total() == 0


async def test_every_answer_of_an_account_is_counted_once(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.script[UPLOAD].extend([busy(), html])
    async with bench.running("0001") as deliveries:
        await bench.record("0001", rang("pbx:1", "101"), ended(record("pbx:1")))
        await bench.settled("0001")
        answers = dict(standing_of(deliveries, "0001").answers)
    ours = [heard for heard in scripted.heard if heard.key == KEYS["0001"]]
    assert sum(answers.values()) == len(ours) + len(scripted.asked_rights)
    assert (answers["busy"], answers["broken"]) == (1, 1)
    assert answers[ACCEPTED] == sum(answers.values()) - 2


async def test_each_kind_of_error_has_its_count(crm: RetailCrm, crm_url: str, scripted: ScriptedCrm) -> None:
    account = Account(crm_url, Secret("key-of-account-one"))
    said: dict[str, Answer] = {
        "busy": busy(),
        "broken": html,
        "refused": says(400, "Errors in the entity format"),
        "locked_out": says(403, 'Wrong "apiKey" value.'),
        "forbidden": says(403, "Access denied."),
        "not_enabled": says(400, "Telephony not enabled"),
    }
    for kind, answer in said.items():
        scripted.script[SETTINGS].append(answer)
        with pytest.raises(CrmError) as raised:
            await crm.send(account, settings())
        assert raised.value.kind == kind
    with pytest.raises(CrmError):
        await crm.send(account, customer("nobody"))
    await crm.send(account, settings())
    assert crm.answers(account) == dict.fromkeys([*said, "missing", ACCEPTED], 1)
    nowhere = Account("http://127.0.0.1:1", account.api_key)
    with pytest.raises(CrmError):
        await crm.send(nowhere, settings())
    assert crm.answers(nowhere) == {"unreachable": 1}
    assert {error.kind for error in ANSWERS} == {*said, "missing", "unreachable"}


async def test_an_answer_that_nobody_waited_for(crm: RetailCrm, crm_url: str, scripted: ScriptedCrm) -> None:
    account, never = Account(crm_url, Secret("key-of-account-one")), asyncio.Event()
    scripted.script[SETTINGS].append(hang(never))
    asking = asyncio.create_task(crm.send(account, settings()), name="asking")
    while not scripted.heard:
        await asyncio.sleep(0.005)
    asking.cancel()
    await asyncio.wait({asking})
    never.set()
    assert crm.answers(account) == {ABANDONED: 1}


async def test_another_key_begins_to_count_anew(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.keys.add("another-key")
    async with bench.running("0001") as deliveries:
        await bench.record("0001", ended(record("pbx:1")))
        await bench.settled("0001")
        ours = enterprise("0001", bench.url)
        deliveries.enterprises([replace(ours, account=replace(ours.account, api_key=Secret("another-key")))])
        await bench.record("0001", dialled("pbx:2", "101"))
        await bench.settled("0001")
        answers = standing_of(deliveries, "0001").answers
    assert sum(answers.values()) == len([heard for heard in scripted.heard if heard.key == "another-key"]) + (
        scripted.asked_rights.count("another-key")
    )


async def test_popups_that_open_are_timed_from_the_ring_to_the_answer(bench: Bench, scripted: ScriptedCrm) -> None:
    async def slowly() -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.json_response({"success": True, "notExistCodes": [], "notExistUsers": []})

    scripted.script[EVENT].append(slowly)
    async with bench.running("0001") as deliveries:
        await bench.record("0001", rang("pbx:1", "101"), rang("pbx:1", "102"))
        await bench.settled("0001")
        spread = standing_of(deliveries, "0001").tally.popup_delays
        assert spread.at_most()[-1] == 2, "two phones rang"
        assert spread.at_most()[POPUP_DELAYS.index(0.25)] == 0, "none of them had its popup sooner"
        assert timedelta(seconds=spread.sum) >= timedelta(seconds=0.6)
        await bench.record("0001", stopped("pbx:1", "101"), stopped("pbx:1", "102"), ended(record("pbx:1")))
        await bench.settled("0001")
        assert spread.at_most()[-1] == 2, "what closes a popup opens none"
        await bench.record("0001", dialled("pbx:2", "103"))
        await bench.settled("0001")
        assert spread.at_most()[-1] == 3
