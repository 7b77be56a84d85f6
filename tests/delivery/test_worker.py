"""Real PostgreSQL on one side, a CRM on a real socket on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact
from amibridge.delivery import lane as lane_module
from amibridge.delivery import lanes, worker
from amibridge.delivery.plan import Popup
from amibridge.delivery.teller import Teller
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import EnterpriseId
from amibridge.redact import Secret
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from tests.delivery.bench import CUT_THE_OTHERS, KEYS, Bench, enterprise, in_the_end
from tests.delivery.rows import dialled, ended, rang, record, stopped
from tests.delivery.scripted_crm import EVENT, UPLOAD, ScriptedCrm, hang
from tests.delivery.waiting import until

pytestmark = pytest.mark.postgres


def whole_call(call: str) -> Iterable[AnyFact]:
    yield rang(call, "101")
    yield rang(call, "102")
    yield stopped(call, "102")
    yield ended(record(call))


async def test_a_call_goes_from_the_ledger_to_the_crm(bench: Bench, scripted: ScriptedCrm) -> None:
    async with bench.running("0001"):
        for fact in whole_call("pbx:1"):
            await bench.record("0001", fact)
            await bench.settled("0001")
    assert scripted.types("pbx:1") == ["in", "in", "hangup", "hangup", "history"]
    assert await bench.counts("0001") == {"sent": 6}


async def test_what_was_left_by_the_last_process_is_sent(bench: Bench, scripted: ScriptedCrm) -> None:
    await bench.record("0001", *whole_call("pbx:1"))
    await bench.record("0001", dialled("pbx:2", "103"))
    async with bench.running("0001"):
        await bench.settled("0001")
    assert scripted.types("pbx:1") == ["hangup", "hangup", "history"], "that process may have opened popups"
    assert scripted.types("pbx:2") == ["out"]
    assert await bench.counts("0001") == {"sent": 5, "dropped": 2}


async def test_a_wrong_key_pauses_its_enterprise_and_no_other(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.keys = {KEYS["0002"]}
    with capture_logs() as logs:
        async with bench.running("0001", "0002") as deliveries:
            for i in range(20):
                await bench.record("0001", ended(record(f"pbx:{i}")))
                await bench.record("0002", ended(record(f"pbx:{i}")))
            await bench.settled("0002")
            assert len(scripted.calls[KEYS["0002"]]) == 20
            assert "due" in await bench.counts("0001")
            asked = len([heard for heard in scripted.heard if heard.key == KEYS["0001"]])
            assert [deliveries.may_ask(EnterpriseId(one)) for one in ("0001", "0002", "9999")] == [False, True, False]
            assert asked <= lane_module.POPUPS_IN_FLIGHT + 2
            mended = enterprise("0001", bench.url)
            mended = replace(mended, account=replace(mended.account, api_key=Secret("the-mended-key")))
            scripted.keys.add("the-mended-key")
            deliveries.enterprises([mended, enterprise("0002", bench.url)])
            await bench.settled("0001")
    assert len(scripted.calls["the-mended-key"]) == 20
    said = [(line["event"], line["enterprise"]) for line in logs if line["event"] in ("crm_paused", "crm_resumed")]
    assert said == [("crm_paused", "0001"), ("crm_resumed", "0001")]
    assert not any(key in str(line) for line in logs for key in (*KEYS.values(), "the-mended-key"))


async def test_enterprises_come_and_go(bench: Bench, scripted: ScriptedCrm) -> None:
    one, two = enterprise("0001", bench.url), enterprise("0002", bench.url)
    async with bench.running("0001") as deliveries:
        await bench.record("0002", ended(record("pbx:1")))
        deliveries.enterprises([one, two])
        await bench.settled("0002")
        deliveries.enterprises([one])
        await until(lambda: len(list(deliveries._lanes)) == 1)
        await bench.record("0002", ended(record("pbx:2")))
        await bench.record("0001", ended(record("pbx:3")))
        await bench.settled("0001")
        assert list(scripted.calls[KEYS["0002"]]) == ["pbx:1"]
        deliveries.enterprises([one, two])
        await bench.settled("0002")
    assert list(scripted.calls[KEYS["0002"]]) == ["pbx:1", "pbx:2"]


@pytest.mark.slow
async def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.delay = 0.01
    calls = [f"pbx:{i}" for i in range(300)]
    for batch in range(0, 300, 50):
        await bench.record("0001", *(fact for call in calls[batch : batch + 50] for fact in whole_call(call)))
    for kill in range(8):
        deliveries = Deliveries(
            bench.outbox,
            bench.crm,
            Customers(bench.pool),
            FollowUps(bench.pool),
            [enterprise("0001", bench.url)],
            jitter=lambda: 0.0,
        )
        task = asyncio.create_task(deliveries.run(asyncio.Event()), name="deliveries to be killed")
        await asyncio.sleep(0.02 + 0.01 * kill)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with bench.running("0001"):
        await bench.settled("0001")
    # The CRM keeps a call once whatever arrives twice: that is what `externalId` is for.
    assert set(scripted.calls[KEYS["0001"]]) == set(calls)
    for call in calls:
        assert scripted.types(call)[-1] == "history"


async def test_an_orderly_stop_finishes_what_is_in_flight_and_writes_it(bench: Bench, scripted: ScriptedCrm) -> None:
    over = asyncio.Event()
    scripted.always[UPLOAD] = hang(over)
    async with bench.running("0001"):
        await bench.record("0001", ended(record("pbx:1", operators=())))
        await until(lambda: scripted.of(UPLOAD))
        await bench.record("0001", ended(record("pbx:2", operators=())))
        asyncio.get_running_loop().call_later(0.1, over.set)
    assert len(scripted.of(UPLOAD)) == 1
    due = await bench.outbox.load_due(EnterpriseId("0001"))
    assert {row.call for row in due} == {"pbx:2"}


async def test_a_stop_with_a_dead_crm_and_a_dead_database_is_still_a_stop(
    bench: Bench, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "GRACE", timedelta(seconds=0.1))
    monkeypatch.setattr(worker, "FLUSH", 0.1)
    over = asyncio.Event()
    scripted.always[EVENT] = hang(over)

    async def away(_: Sequence[object]) -> None:
        raise ConnectionError("the database is away")

    with capture_logs() as logs:
        async with asyncio.timeout(5), bench.running("0001") as deliveries:
            monkeypatch.setattr(deliveries._settlements, "_write", away)
            await bench.record("0001", rang("pbx:1", "101"), ended(record("pbx:2", operators=())))
            await until(lambda: scripted.of(EVENT) and scripted.of(UPLOAD))
            await until(lambda: deliveries._settlements.unwritten())
    over.set()
    (left,) = [line for line in logs if line["event"] == "settlements_left"]
    assert left["rows"] >= 1
    # Unwritten is due, and due is sent again: the CRM says that it knows the call.
    async with bench.running("0001"):
        await bench.settled("0001")
    assert scripted.duplicates == 1


async def test_verdicts_survive_a_lost_database(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.delay = 0.02
    async with bench.running("0001"):
        for i in range(30):
            await bench.record("0001", ended(record(f"pbx:{i}", operators=())))
            if i % 10 == 5:
                await in_the_end(lambda: bench.pool.execute(CUT_THE_OTHERS))
        counts = await bench.settled("0001")
    assert counts["sent"] == 60
    assert scripted.duplicates == 0


async def test_a_lane_that_fails_is_started_anew_from_the_table(
    bench: Bench, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "RESTART_FIRST", 0.05)
    tell = Teller.tell
    failures: list[Popup] = []

    async def tell_with_a_bug(self: Teller, popup: Popup) -> None:
        if self._judge.enterprise.id == "0001" and len(failures) < 2:
            failures.append(popup)
            raise RuntimeError("a bug")
        await tell(self, popup)

    monkeypatch.setattr(Teller, "tell", tell_with_a_bug)
    with capture_logs() as logs:
        async with bench.running("0001", "0002"):
            await bench.record("0001", rang("pbx:1", "101"))
            await bench.record("0002", rang("pbx:1", "101"))
            await bench.settled("0002")
            await bench.settled("0001")
    assert len(scripted.of(EVENT, KEYS["0001"])) == 1
    assert [line["enterprise"] for line in logs if line["event"] == "lane_failed"] == ["0001", "0001"]


@pytest.mark.slow
async def test_a_burst_of_500_calls_never_exceeds_the_limits(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.delay = 0.02
    ringing = [f"pbx:ring{i}" for i in range(500)]
    over = [f"pbx:over{i}" for i in range(500)]
    async with bench.running("0001"):
        for batch in range(0, 500, 100):
            await bench.record("0001", *(rang(call, "101") for call in ringing[batch : batch + 100]))
            await bench.record("0001", *(ended(record(call, operators=())) for call in over[batch : batch + 100]))
        await until(lambda: len(scripted.calls[KEYS["0001"]]) == 500, 60)
        await until(lambda: len(scripted.of(EVENT)) >= 100)
    assert scripted.busiest_second(KEYS["0001"], EVENT, UPLOAD) <= 40
    assert set(scripted.calls[KEYS["0001"]]) == set(over)
    told = [heard.names[0] for heard in scripted.of(EVENT)]
    assert len(told) == len(set(told))


async def test_resent_and_unoffered_rows_are_found_by_rereading(
    bench: Bench, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amibridge.delivery.stock.REREAD_EVERY", timedelta(seconds=0.1))
    async with bench.running("0001") as deliveries:
        await bench.record("0001", ended(record("pbx:1", operators=())))
        await bench.settled("0001")
        bench.deliveries = None
        await bench.record("0001", ended(record("pbx:2", operators=())))
        await bench.settled("0001")
        assert list(deliveries._lanes)
    assert set(scripted.calls[KEYS["0001"]]) == {"pbx:1", "pbx:2"}
