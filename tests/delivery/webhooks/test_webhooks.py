"""Webhooks as a whole: what the ledger says is told to each, in order, whatever the others do."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallRecord
from amibridge.delivery.standing import Mood
from amibridge.delivery.webhooks.lane import Lane
from amibridge.delivery.webhooks.post import Heard
from amibridge.delivery.webhooks.worker import Webhooks
from amibridge.enterprises import Enterprise, Webhook
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.rows import ended, rang, record, stopped
from tests.delivery.waiting import until
from tests.delivery.webhooks.desk import Desk, webhook
from tests.delivery.webhooks.receiver import Receiver, Told
from tests.store.said import started

pytestmark = pytest.mark.postgres

ONE, TWO = "0001", "0002"


@pytest.fixture
def desk(pool: asyncpg.Pool[asyncpg.Record]) -> Desk:
    return Desk(pool)


def call_of(call: str) -> list[AnyFact]:
    return [started(call), rang(call, "101"), rang(call, "102"), stopped(call, "102"), ended(record(call))]


WORDS = ["call.incoming", "operator.rang", "operator.rang", "operator.stopped", "call.finished"]


async def test_each_event_is_told_signed_with_the_place_of_its_fact(desk: Desk) -> None:
    desk.record_url = lambda one, of: f"https://bridge/{one.id}/{of.call_id}"
    async with Receiver().serve() as receiver:
        await desk.apply({ONE: (webhook("erp", receiver.url + "?a=%2F"),)})
        async with desk.running():
            await desk.record(ONE, *call_of("pbx:1"))
            await until(lambda: len(receiver.taken) == 5)
            await desk.all_are(ONE, DeliveryStatus.SENT)
        assert receiver.forged == []
        assert [one.event["event"] for one in receiver.told] == WORDS
        assert {one.path for one in receiver.told} == {"/calls?a=%2F"}
        seqs = [row["seq"] for row in await desk.pool.fetch("SELECT seq FROM facts ORDER BY seq")]
        assert receiver.ids() == seqs == [one.event["id"] for one in receiver.told]
        assert {one.event["enterprise"] for one in receiver.told} == {ONE}
        assert [one.event["record_url"] for one in receiver.told] == [None] * 4 + ["https://bridge/0001/pbx:1"]
        assert receiver.told[-1].event["call"]["call_id"] == "pbx:1"
        assert [one.event["call"] for one in receiver.told[:4]] == [None] * 4
        told = {one.headers["User-Agent"].partition("/")[0] for one in receiver.told}
        assert (told, receiver.told[0].headers["Content-Type"]) == ({"amibridge"}, "application/json")
    assert [(row.kind, row.attempts, row.answer) for row in await desk.rows(ONE)] == [("webhook", 1, "204")] * 5


async def test_each_webhook_is_told_what_it_wants_and_each_enterprise_its_own(desk: Desk) -> None:
    async with Receiver().serve() as all_of_it, Receiver().serve() as ends, Receiver().serve() as theirs:
        ours = (webhook("erp", all_of_it.url), webhook("dwh", ends.url, events=("call.finished", "call.missed")))
        await desk.apply({ONE: ours, TWO: (webhook("erp", theirs.url),)})
        async with desk.running():
            await desk.record(ONE, *call_of("pbx:1"))
            await desk.record(TWO, *call_of("pbx:1"))
            for number in (ONE, TWO):
                await desk.all_are(number, DeliveryStatus.SENT)
            await desk.all_are(ONE, DeliveryStatus.SENT, name="dwh")
        assert all_of_it.words("pbx:1") == theirs.words("pbx:1") == list(dict.fromkeys(WORDS))
        assert ends.words("pbx:1") == ["call.finished"]
        assert ends.ids()[0] == all_of_it.ids()[-1], "one fact has one id, whoever is told"
        assert {one.event["enterprise"] for one in theirs.told} == {TWO}
        assert {one.event["enterprise"] for one in (*all_of_it.told, *ends.told)} == {ONE}
        assert set(theirs.ids()) & set(all_of_it.ids()) == set()


async def test_a_fact_that_is_said_again_is_told_to_nobody_again(desk: Desk) -> None:
    await desk.apply({ONE: (webhook("erp", "http://127.0.0.1:9/"),)})
    assert len(await desk.record(ONE, *call_of("pbx:1"))) == 5
    assert await desk.record(ONE, *call_of("pbx:1")) == []
    assert len(await desk.rows(ONE)) == 5


async def test_what_waits_is_told_after_a_start_in_order_and_calls_at_once(desk: Desk) -> None:
    calls = [f"pbx:{n}" for n in range(40)]
    await desk.apply({ONE: (webhook("erp", "http://127.0.0.1:9/"),)})
    for call in calls:
        await desk.record(ONE, *call_of(call))

    async def slow(told: Told) -> None:
        await asyncio.sleep(0.01)

    async with Receiver().serve() as receiver:
        receiver.answer = slow
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        async with desk.running():
            await desk.all_are(ONE, DeliveryStatus.SENT)
        assert 1 < receiver.most_at_once <= 4
        assert receiver.overlaps == []
        for call in calls:
            assert [one.event["event"] for one in receiver.told if one.event["call_id"] == call] == WORDS
        assert len(receiver.told) == 200


async def test_a_dead_receiver_holds_up_nobody_and_is_told_all_when_it_is_back(
    desk: Desk, unused_tcp_port: int
) -> None:
    async with Receiver().serve() as well:
        dead = webhook("dead", f"http://127.0.0.1:{unused_tcp_port}/calls")
        await desk.apply({ONE: (webhook("erp", well.url), dead)})
        with capture_logs() as logs:
            async with desk.running() as webhooks:
                await desk.record(ONE, *call_of("pbx:1"))
                await desk.record(ONE, *call_of("pbx:2"))
                await desk.all_are(ONE, DeliveryStatus.SENT)
                await until(lambda: {one.webhook: one.state for one in webhooks.standings()}["dead"] == Mood.TROUBLED)
                assert {one.webhook: one.state for one in webhooks.standings()}["erp"] == Mood.WELL
                async with Receiver().serve(unused_tcp_port) as back:
                    await desk.all_are(ONE, DeliveryStatus.SENT, name="dead", seconds=60)
                    assert back.words("pbx:1") == back.words("pbx:2") == list(dict.fromkeys(WORDS))
                    assert sorted(back.ids()) == sorted(well.ids())
        said = [line["event"] for line in logs if line.get("webhook") == "dead" and line["log_level"] != "debug"]
        assert said == ["webhook_in_trouble", "webhook_resumed"]
        assert "hush" not in json.dumps(logs, default=str)


async def test_what_a_receiver_repeats_of_an_event_is_neither_logged_nor_told_to_whoever_asks_for_health(
    desk: Desk,
) -> None:
    """As frameworks answer what does not fit: with the whole of it."""

    async def echo(told: Told) -> web.Response:
        text = json.dumps({"detail": [{"msg": "Field required", "input": {"phone": told.event["phone"]}}]})
        return web.Response(status=422, text=text)

    async with Receiver().serve() as receiver:
        receiver.answer = echo
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        with capture_logs() as logs:
            async with desk.running() as webhooks:
                await desk.record(ONE, *call_of("pbx:1"))
                await until(lambda: webhooks.standings()[0].state == Mood.TROUBLED, 60)
                [standing] = webhooks.standings()
        phones = {told.event["phone"] for told in receiver.told}
        assert phones
        assert None not in phones
        assert standing.reason == "422"
        assert {line["reason"] for line in logs if line["event"] == "webhook_in_trouble"} == {"422"}
        [answer] = [row.answer for row in await desk.rows(ONE) if row.answer is not None]
        assert answer.startswith('422: {"detail": [{"msg": "Field required"')
        assert not any(phone in answer for phone in phones)


async def test_an_event_that_fails_holds_up_its_call_alone_and_keeps_its_id(desk: Desk) -> None:
    failures = 3

    async def moody(told: Told) -> web.Response | None:
        nonlocal failures
        if told.event["call_id"] == "pbx:1" and told.event["event"] == "operator.rang" and failures:
            failures -= 1
            return web.Response(status=500, text="not now")
        return None

    async with Receiver().serve() as receiver:
        receiver.answer = moody
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        async with desk.running():
            await desk.record(ONE, *call_of("pbx:1"), *call_of("pbx:2"))
            await desk.all_are(ONE, DeliveryStatus.SENT)
        told = [one for one in receiver.told if one.event["call_id"] == "pbx:1"]
        assert [one.event["event"] for one in told] == [WORDS[0], *[WORDS[1]] * 3, *WORDS[1:]]
        assert len({one.id for one in told[1:5]}) == 1
        assert receiver.overlaps == []
    [failed] = [row for row in await desk.rows(ONE) if row.attempts > 1]
    assert (failed.attempts, failed.answer) == (4, "204")


async def test_what_is_refused_is_parked_after_an_hour_and_what_fails_after_five_days(desk: Desk) -> None:
    status = 404

    async def refuse(told: Told) -> web.Response:
        return web.Response(status=status, text="no such page")

    async with Receiver().serve() as receiver:
        receiver.answer = refuse
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        async with desk.running():
            await desk.record(ONE, *call_of("pbx:1"))
            await until(lambda: receiver.told)
            await asyncio.sleep(0.3)
            assert {row.status for row in await desk.rows(ONE)} == {"due"}
            desk.clock.ahead += timedelta(minutes=61)
        async with desk.running() as webhooks:
            async with asyncio.timeout(20):
                while not (parked := await desk.rows(ONE, DeliveryStatus.PARKED)):
                    await asyncio.sleep(0.02)
            assert parked[0].answer == "given up after an hour: 404: no such page"
            status = 503
            await until(lambda: webhooks.standings()[0].reason is not None)
            desk.clock.ahead += timedelta(minutes=20)
        async with desk.running():
            await until(lambda: receiver.told[-1].event["event"] != WORDS[0])
            await asyncio.sleep(0.3)
            desk.clock.ahead += timedelta(days=5)
        async with desk.running():
            await desk.all_are(ONE, DeliveryStatus.PARKED)
        assert {row.answer for row in (await desk.rows(ONE))[1:]} == {"given up after 5 days: 503: no such page"}
        assert await desk.outbox.resend(parked[0].enterprise, [row.id for row in await desk.rows(ONE)])
        receiver.answer, before = None, len(receiver.told)
        async with desk.running():
            await desk.all_are(ONE, DeliveryStatus.SENT)
        assert [one.event["event"] for one in receiver.told[before:]] == WORDS


async def test_one_that_is_gone_is_left_alone_until_its_settings_change(desk: Desk) -> None:
    async def gone(told: Told) -> web.Response:
        return web.Response(status=410)

    async with Receiver().serve() as old, Receiver().serve() as new:
        old.answer = gone
        await desk.apply({ONE: (webhook("erp", old.url),)})
        with capture_logs() as logs:
            async with desk.running() as webhooks:
                await desk.record(ONE, *call_of("pbx:1"))
                await until(lambda: webhooks.standings()[0].state == Mood.PAUSED)
                await desk.record(ONE, *call_of("pbx:2"))
                await asyncio.sleep(0.3)
                assert len(old.told) == 1
                await desk.apply({ONE: (webhook("erp", new.url),)})
                await desk.all_are(ONE, DeliveryStatus.SENT)
                assert webhooks.standings()[0].state == Mood.WELL
        assert len(new.taken) == 10
        assert new.words("pbx:1") == list(dict.fromkeys(WORDS))
        assert [line["event"] for line in logs if line["log_level"] in ("info", "error")] == [
            "webhook_paused",
            "webhook_resumed",
        ]


async def test_a_webhook_that_is_no_more_is_told_nothing_and_what_waited_is_dropped(
    desk: Desk, unused_tcp_port: int
) -> None:
    async with Receiver().serve() as other:
        dead = webhook("dead", f"http://127.0.0.1:{unused_tcp_port}/calls")
        await desk.apply({ONE: (dead, webhook("erp", other.url)), TWO: (dead,)})
        async with desk.running() as webhooks:
            for number in (ONE, TWO):
                await desk.record(number, *call_of("pbx:1"))
            await desk.all_are(ONE, DeliveryStatus.SENT)
            await desk.apply({ONE: (webhook("erp", other.url),)})
            await desk.all_are(ONE, DeliveryStatus.DROPPED, name="dead")
            assert {row.answer for row in await desk.rows(ONE, name="dead")} == {"the webhook was removed"}
            assert {row.status for row in await desk.rows(TWO, name="dead")} == {"due"}, (
                "of the same name, not the same"
            )
            ids = [row.id for row in await desk.rows(ONE, name="dead")]
            assert await desk.outbox.resend((await desk.rows(ONE, name="dead"))[0].enterprise, ids) == []
            await desk.directory.remove((await desk.rows(TWO, name="dead"))[0].enterprise)
            webhooks.enterprises(await desk.directory.load())
            await desk.all_are(TWO, DeliveryStatus.DROPPED, name="dead")
            assert [one.webhook for one in webhooks.standings()] == ["erp"]


async def test_a_receiver_that_hangs_holds_up_no_stop_and_nothing_is_lost(desk: Desk) -> None:
    released = asyncio.Event()

    async def hang(told: Told) -> None:
        await released.wait()

    async with Receiver().serve() as receiver:
        receiver.answer = hang
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        loop = asyncio.get_running_loop()
        async with desk.running():
            await desk.record(ONE, *call_of("pbx:1"), *call_of("pbx:2"))
            await until(lambda: receiver.at_once == 2)
            begun = loop.time()
        assert loop.time() - begun < 9
        assert {row.status for row in await desk.rows(ONE)} == {"due"}
        released.set()
        receiver.answer = None
        async with desk.running():
            await desk.all_are(ONE, DeliveryStatus.SENT)
        assert receiver.words("pbx:2") == list(dict.fromkeys(WORDS))


async def test_what_cannot_be_told_is_parked_and_a_lane_that_fails_begins_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    def url_of(one: Enterprise, of: CallRecord) -> str | None:
        raise ValueError("nobody can say that")

    async with Receiver().serve() as receiver:
        desk.record_url = url_of
        await desk.apply({ONE: (webhook("erp", receiver.url),)})
        with capture_logs() as logs:
            async with desk.running() as webhooks:
                [lane] = await _lanes(webhooks)
                send = lane._post.send

                async def fail_once(told: Webhook, id: str, body: bytes) -> Heard:
                    nonlocal broken
                    if broken:
                        broken = False
                        raise asyncio.CancelledError
                    return await send(told, id, body)

                monkeypatch.setattr(lane._post, "send", fail_once)
                await desk.record(ONE, *call_of("pbx:1"))
                await until(lambda: len(receiver.taken) == 4)
                async with asyncio.timeout(20):
                    while {row.status for row in await desk.rows(ONE)} != {"sent", "parked"}:
                        await asyncio.sleep(0.02)
        assert [one.event["event"] for one in receiver.taken] == WORDS[:4]
    [parked] = await desk.rows(ONE, DeliveryStatus.PARKED)
    assert parked.answer == "cannot be told: nobody can say that"
    said = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
    assert said == ["webhook_lane_failed", "webhook_event_not_expressible", "webhook_event_parked"]


async def _lanes(webhooks: Webhooks) -> list[Lane]:
    await until(lambda: list(webhooks._lanes))
    return [lane for _, lane in webhooks._lanes]
