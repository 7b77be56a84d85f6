"""Every request that a lane makes is heard of, with what it told, which try it was, and what followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest

from amibridge.calls.record import CallId
from amibridge.delivery import teller
from amibridge.enterprises import EnterpriseId
from amibridge.retailcrm.client import CrmSettings, open_crm
from amibridge.retailcrm.exchange import Exchange, occasion
from amibridge.runtime.request_log import RequestLog
from amibridge.store.outbox import DeliveryStatus
from amibridge.store.requests import CrmRequest, CrmRequests
from tests.delivery.bench import KEYS, Bench
from tests.delivery.rows import PHONE, ended, rang, record
from tests.delivery.scripted_crm import CREATE, CREDENTIALS, EVENT, MANAGER, UPLOAD, ScriptedCrm, busy, hang, says
from tests.delivery.waiting import until

pytestmark = pytest.mark.postgres

ONE, KEY = EnterpriseId("0001"), KEYS["0001"]


class Told:
    """A bench whose requests go through the log into the table."""

    def __init__(self, bench: Bench, heard: list[Exchange]) -> None:
        self.bench = bench
        self.heard = heard

    def about(self, path: str) -> list[Exchange]:
        return [one for one in self.heard if one.address.startswith(path)]

    async def written(self, *calls: str) -> list[CrmRequest]:
        log = RequestLog()
        for one in self.heard:
            log.hear(one)
        log.close()
        requests = CrmRequests(self.bench.pool)
        await log.run(requests.record)
        return await requests.of_calls(ONE, [CallId(call) for call in calls])


@pytest.fixture
async def told(pool: asyncpg.Pool, crm_url: str, scripted: ScriptedCrm) -> AsyncIterator[Told]:
    scripted.keys = set(KEYS.values())
    heard: list[Exchange] = []
    async with open_crm(CrmSettings(), tap=heard.append) as crm:
        yield Told(Bench(pool, crm, crm_url), heard)


async def test_a_call_is_told_from_ring_to_customer(told: Told) -> None:
    now = datetime.now(UTC)
    async with told.bench.running("0001"):
        rows = await told.bench.record("0001", rang("pbx:1", "101", now))
        await told.bench.settled("0001")
        rows += await told.bench.record("0001", ended(record("pbx:1", at=now), now))
        await told.bench.settled("0001")
    ring, closing, history, errand = (row.id for row in rows)
    story = await told.written("pbx:1")
    assert [(one.address.partition("?")[0], one.deliveries, one.verdict) for one in story if one.verdict] == [
        (EVENT, (ring,), "sent"),
        (EVENT, (closing,), "sent"),
        (UPLOAD, (history,), "sent"),
        (CREATE, (errand,), "sent"),
    ]
    assert {one.deliveries for one in story if one.address.startswith(MANAGER)} == {(errand,)}
    assert all((one.status in (200, 201), one.attempt, one.failure) == (True, 1, None) for one in story)
    whole = "".join(f"{one.request}{one.address}{one.answer}" for one in story)
    assert PHONE.removeprefix("+")[2:] not in whole
    assert f"•••••{PHONE[-4:]}" in whole
    assert KEY not in whole


async def test_what_is_asked_beside_deliveries_is_heard_of_too(told: Told, scripted: ScriptedCrm) -> None:
    async with told.bench.running("0001"):
        await until(lambda: told.about(CREDENTIALS))
    [asked] = told.about(CREDENTIALS)
    assert (asked.enterprise, tuple(asked.occasion.calls), asked.verdict) == (ONE, (), None)


async def test_a_try_that_failed_names_its_reason_and_the_next_one(told: Told, scripted: ScriptedCrm) -> None:
    scripted.script[UPLOAD] += [busy(), busy()]
    async with told.bench.running("0001"):
        await told.bench.record("0001", ended(record("pbx:1")))
        await told.bench.settled("0001")
    tries = [one for one in await told.written("pbx:1") if one.address == UPLOAD]
    assert [(one.attempt, one.status, one.failure, one.verdict) for one in tries] == [
        (1, 503, "the CRM is busy (HTTP 503)", "due"),
        (2, 503, "the CRM is busy (HTTP 503)", "due"),
        (3, 200, None, "sent"),
    ]
    for failed, following in pairwise(tries):
        assert failed.next_attempt_at is not None
        assert failed.at < failed.next_attempt_at <= following.at
    assert tries[-1].next_attempt_at is None


async def test_of_an_upload_that_was_refused_each_half_is_told(told: Told, scripted: ScriptedCrm) -> None:
    scripted.refused_calls = {"pbx:2"}
    await told.bench.record("0001", *(ended(record(f"pbx:{number}")) for number in range(4)))
    async with told.bench.running("0001"):
        await told.bench.settled("0001")
    tries = [one for one in await told.written("pbx:2") if one.address == UPLOAD]
    *halved, last = tries
    assert halved
    assert all(len(one.calls) > 1 and one.verdict == "halved" for one in halved)
    assert (last.calls, last.verdict) == (("pbx:2",), "parked")
    assert all("Errors in the entity format" in (one.failure or "") for one in tries)


async def test_a_popup_that_is_awaited_no_longer_is_said_so(
    told: Told, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "POPUP_PATIENCE", timedelta(milliseconds=50))
    for_ever = asyncio.Event()
    scripted.script[EVENT].append(hang(for_ever))
    async with told.bench.running("0001"):
        [row] = await told.bench.record("0001", rang("pbx:1", "101", datetime.now(UTC)))
        await told.bench.settled("0001")
        for_ever.set()
    first = told.about(EVENT)[0]
    assert (first.status, first.failure, first.verdict) == (None, "the answer was awaited no longer", "due")
    assert first.occasion.deliveries == (row.id,)


async def test_a_pause_is_a_verdict_too(told: Told, scripted: ScriptedCrm) -> None:
    scripted.script[UPLOAD].append(says(403, 'Wrong "apiKey" value.'))
    async with told.bench.running("0001"):
        [*_, history, _] = await told.bench.record("0001", ended(record("pbx:1")))
        await until(lambda: told.about(UPLOAD))
    first = told.about(UPLOAD)[0]
    assert (first.verdict, first.status) == ("due", 403)
    assert history.id in {row.id for row in await told.bench.outbox.find(ONE, status=DeliveryStatus.DUE)}


async def test_an_occasion_ends_with_its_task() -> None:
    assert occasion() is None
