from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from amibridge.calls.record import CallRecord, Extension
from amibridge.delivery import lane as lane_module
from amibridge.delivery import stock
from amibridge.delivery.lane import Lane
from amibridge.enterprises import Account, Enterprise, EnterpriseId, Operator
from amibridge.redact import Secret
from amibridge.retailcrm import render
from amibridge.retailcrm.client import RetailCrm
from amibridge.retailcrm.limits import RATES
from amibridge.retailcrm.requests import LimitClass, ReplyT, Request
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from amibridge.store.outbox import Delivery, DeliveryStatus, Settlement
from tests.delivery.rows import dialled, ended, history, popup, rang, record, stopped
from tests.delivery.scripted_crm import (
    EVENT,
    SETTINGS,
    UPLOAD,
    Answer,
    ScriptedCrm,
    busy,
    hang,
    html,
    nonsense,
    says,
)
from tests.delivery.waiting import until

KEY = "key-of-account-one"


class Clock:
    """The wall clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Table:
    """The outbox as a lane sees it: pages of due rows, and verdicts."""

    def __init__(self, rows: Sequence[Delivery] = ()) -> None:
        self.due = {row.id: row for row in rows}
        self.verdicts: dict[int, Settlement] = {}
        self.history: list[Settlement] = []
        self.pages = 0
        self.broken: Exception | None = None
        self.lane: Lane | None = None

    async def read_due(self, after: int, limit: int) -> list[Delivery]:
        self.pages += 1
        if self.broken is not None:
            raise self.broken
        return [self.due[id] for id in sorted(self.due) if id > after][:limit]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self.history += settlements
        for settlement in settlements:
            self.verdicts[settlement.id] = settlement
            if settlement.status is not DeliveryStatus.DUE:
                self.due.pop(settlement.id, None)
                assert self.lane is not None
                self.lane.written([settlement.id])

    def status(self, id: int) -> str | None:
        return self.verdicts[id].status if id in self.verdicts else None

    def all(self, status: DeliveryStatus, ids: Sequence[int]) -> bool:
        return all(self.status(id) == status for id in ids)


@pytest.fixture
def enterprise(crm_url: str) -> Enterprise:
    return Enterprise(
        id=EnterpriseId("0001"),
        name="Ромашка",
        account=Account(crm_url, Secret(KEY), "romashka"),
        hosts=(),
        client_id="client",
        webhook_secret=Secret("secret"),
        time_zone=ZoneInfo("Europe/Minsk"),
        operators={Extension(str(n)): Operator(Extension(str(n))) for n in range(101, 110)},
    )


@asynccontextmanager
async def running(
    enterprise: Enterprise,
    crm: RetailCrm,
    table: Table,
    *,
    now: Callable[[], datetime] | None = None,
    jitter: float = 0.0,
    record_url: Callable[[Enterprise, CallRecord], str | None] = lambda _enterprise, _record: None,
) -> AsyncIterator[Lane]:
    lane = Lane(
        enterprise,
        crm=crm,
        read_due=table.read_due,
        unwritten=(),
        settle=table.settle,
        record_url=record_url,
        customers=Customers(asyncpg.create_pool(min_size=0)),
        follow_ups=FollowUps(asyncpg.create_pool(min_size=0)),
        now=now or Clock(),
        jitter=lambda: jitter,
    )
    table.lane = lane
    task = asyncio.create_task(lane.run(), name="lane under test")
    try:
        yield lane
    finally:
        lane.close()
        await task


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_call_is_told_from_ring_to_history_in_order(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    table, at = Table(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table) as lane:
            lane.offer([popup(1, rang("pbx:1", "101", at), at=at), popup(2, rang("pbx:1", "102", at), at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2]))
            lane.offer([popup(3, stopped("pbx:1", "102", at), at=at)])
            lane.offer([popup(4, ended(record("pbx:1", at=at)), at=at), history(5, "pbx:1", at=at)])
            await until(lambda: table.all(DeliveryStatus.SENT, [1, 2, 3, 4, 5]))
    assert scripted.types("pbx:1") == ["in", "hangup", "hangup", "history"]
    assert scripted.of(EVENT)[0].said["codes"] == ["101", "102"]
    assert scripted.calls[KEY]["pbx:1"]["result"] == "answered"
    delivered = [line for line in logs if line["event"] == "call_delivered"]
    assert [(line["call"], line["result"], line["enterprise"]) for line in delivered] == [("pbx:1", "answered", "0001")]
    assert table.verdicts[5].attempts == 1


async def test_calls_overtake_each_other_but_never_themselves(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    scripted.delay = 0.02
    table, at = Table(), now()
    rows = []
    for call in range(30):
        name, id = f"pbx:{call}", 10 * call
        rows += [popup(id + 1, dialled(name, "101", at), at=at), popup(id + 2, rang(name, "102", at), at=at)]
    async with running(enterprise, crm, table) as lane:
        lane.offer(rows)
        await until(lambda: table.all(DeliveryStatus.SENT, [row.id for row in rows if row.id % 10 == 1]))
        closing = [popup(10 * call + 3, stopped(f"pbx:{call}", "102", at), at=at) for call in range(30)]
        lane.offer(closing)
        lane.offer([history(10 * call + 4, f"pbx:{call}", at=at) for call in range(30)])
        await until(lambda: table.all(DeliveryStatus.SENT, [10 * call + 4 for call in range(30)]))
    for call in range(30):
        heard = scripted.types(f"pbx:{call}")
        assert heard[0] == "out"
        assert heard[-1] == "history"
        assert heard in (["out", "history"], ["out", "in", "hangup", "history"])
    assert len(scripted.of(UPLOAD)) < 30


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


async def test_rows_in_the_table_come_before_rows_just_offered(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    at = now()
    table = Table([popup(1, rang("pbx:1", "101", at), at=at)])
    async with running(enterprise, crm, table) as lane:
        lane.offer([popup(2, rang("pbx:1", "102", at), at=at)])
        # The recorder hands over late what the reading has seen already.
        await until(lambda: table.status(2) == DeliveryStatus.SENT)
        lane.offer([popup(1, rang("pbx:1", "101", at), at=at)])
        lane.offer([popup(3, rang("pbx:3", "101", at), at=at)])
        await until(lambda: table.status(3) == DeliveryStatus.SENT)
    assert [heard.said["codes"] for heard in scripted.of(EVENT)] == [["101", "102"], ["101"]]


async def test_memory_is_bounded_and_nothing_is_lost(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "HELD_MAX", 100)
    monkeypatch.setattr(stock, "PAGE", 30)
    at = now()
    table = Table([history(i, f"pbx:{i}", at=at) for i in range(1, 251)])
    most = 0
    async with running(enterprise, crm, table) as lane:
        for i in range(251, 401):
            table.due[i] = history(i, f"pbx:{i}", at=at)
            lane.offer([table.due[i]])
            most = max(most, lane._stock.waiting)
        await until(lambda: len(scripted.calls[KEY]) == 400)
        await until(lambda: not table.due)
    assert most <= 100
    assert scripted.duplicates == 0


async def test_an_unreadable_table_stops_nothing_that_is_in_memory(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "READ_AGAIN_AFTER", timedelta(milliseconds=50))
    table, clock, at = Table(), Clock(), now()
    with capture_logs() as logs:
        async with running(enterprise, crm, table, now=clock) as lane:
            await until(lambda: table.pages == 1)
            table.broken = ConnectionError("the database is away")
            clock.ahead = timedelta(minutes=2)
            lane.offer([history(1, "pbx:1", at=at)])
            await until(lambda: table.pages >= 4)
            await until(lambda: table.status(1) == DeliveryStatus.SENT)
            table.broken = None
            table.due[2] = history(2, "pbx:2", at=at)
            await until(lambda: table.status(2) == DeliveryStatus.SENT)
    said = [line["event"] for line in logs if line["event"].startswith("deliveries_")]
    assert said == ["deliveries_unreadable", "deliveries_readable_again"]


async def test_closing_waits_for_answers_and_leaves_the_rest_due(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm
) -> None:
    over = asyncio.Event()
    scripted.always[UPLOAD] = hang(over)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at)])
        await until(lambda: scripted.heard)
        lane.offer([history(2, "pbx:2", at=at)])
        lane.close()
        lane.offer([history(3, "pbx:3", at=at)])
        over.set()
    assert table.status(1) == DeliveryStatus.SENT
    assert len(scripted.heard) == 1
    assert table.status(2) is None
    assert table.status(3) is None


async def test_closing_does_not_wait_for_ever(
    enterprise: Enterprise, crm: RetailCrm, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "GRACE", timedelta(milliseconds=50))
    over = asyncio.Event()
    scripted.always[UPLOAD] = scripted.always[EVENT] = hang(over)
    table, at = Table(), now()
    async with running(enterprise, crm, table) as lane:
        lane.offer([history(1, "pbx:1", at=at), popup(2, rang("pbx:2", "101", at), at=at)])
        await until(lambda: len(scripted.heard) == 2)
    over.set()
    assert table.verdicts == {}


async def test_a_request_cancelled_by_a_library_is_a_failure_of_the_lane(
    enterprise: Enterprise, scripted: ScriptedCrm
) -> None:
    class Cancelling(RetailCrm):
        def __init__(self) -> None:
            pass

        async def send(self, account: Account, request: Request[ReplyT]) -> ReplyT:
            raise asyncio.CancelledError

    table, at = Table([history(1, "pbx:1", at=now())]), now()

    async def live() -> None:
        async with running(enterprise, Cancelling(), table) as lane:
            lane.offer([popup(2, rang("pbx:2", "101", at), at=at)])
            await asyncio.sleep(0.05)

    with pytest.raises(ExceptionGroup) as failure:
        await live()
    assert failure.group_contains(RuntimeError, match="nobody in charge")
    assert table.verdicts == {}


def test_a_lane_alone_finds_room_for_all_it_starts_at_once() -> None:
    """Popups, an upload and an errand: see `retailcrm.limits.RATES`."""
    assert RATES[LimitClass.TELEPHONY].unanswered >= lane_module.POPUPS_IN_FLIGHT + 2
