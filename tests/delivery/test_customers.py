"""Who called becomes a customer of the CRM: found if he is there, made once if not, and nobody waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from amibridge.calls.record import CallRecord, Outcome
from amibridge.delivery.worker import Deliveries
from amibridge.enterprises import EnterpriseId
from amibridge.store.customers import Customers
from amibridge.store.follow_ups import FollowUps
from amibridge.store.outbox import DeliveryStatus
from tests.delivery.bench import CUT_THE_OTHERS, KEYS, Bench, enterprise, in_the_end
from tests.delivery.rows import PHONE, ended, record
from tests.delivery.scripted_crm import (
    CREATE,
    CUSTOMERS,
    EVENT,
    MANAGER,
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

pytestmark = pytest.mark.postgres

ONE, KEY = EnterpriseId("0001"), KEYS["0001"]


def stranger(number: int) -> str:
    return f"+7916{number:07}"


async def answers(bench: Bench) -> list[str]:
    rows = await bench.pool.fetch("SELECT last_answer FROM deliveries WHERE kind = 'customer' ORDER BY id")
    return [row["last_answer"] for row in rows]


async def test_a_stranger_is_made_a_customer_and_known_from_then_on(bench: Bench, scripted: ScriptedCrm) -> None:
    async with bench.running("0001"):
        for call in ("pbx:1", "pbx:2"):
            await bench.record("0001", ended(record(call)))
            await bench.settled("0001")
    [made] = scripted.customers[KEY]
    assert made["phones"] == [{"number": PHONE}]
    assert made["firstName"] == PHONE
    assert made["externalId"].startswith("amibridge-")
    assert await answers(bench) == ["customer 1, made", "customer 1, as before"]
    assert len(scripted.of(MANAGER)) == 1, "a number that we know costs no request"
    assert await Customers(bench.pool).of_phone(ONE, PHONE) == 1


async def test_who_is_there_is_found_however_his_number_is_written(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.customers[KEY].append({"id": 77, "externalId": "shop-1", "phones": [{"number": "8 (916) 123-45-67"}]})
    scripted.always[MANAGER] = found_nobody
    scripted.always[CUSTOMERS] = listed(scripted)
    async with bench.running("0001"):
        await bench.record("0001", ended(record("pbx:1")))
        await bench.settled("0001")
    assert await answers(bench) == ["customer 77, found"]
    assert scripted.of(CREATE) == []


async def test_a_crm_that_finds_everybody_has_found_nobody(bench: Bench, scripted: ScriptedCrm) -> None:
    """An unknown filter may be ignored: all customers come back, and none of them has the number."""
    scripted.customers[KEY].append({"id": 5, "externalId": "x", "phones": [{"number": "+79990000000"}]})
    scripted.always[CUSTOMERS] = listed(scripted)
    async with bench.running("0001"):
        await bench.record("0001", ended(record("pbx:1")))
        await bench.settled("0001")
    assert await answers(bench) == ["customer 2, made"]


async def test_ten_calls_at_one_moment_make_one_customer(bench: Bench, scripted: ScriptedCrm) -> None:
    scripted.delay = 0.05
    async with bench.running("0001"):
        await bench.record("0001", *(ended(record(f"pbx:{number}")) for number in range(10)))
        await bench.settled("0001")
    assert len(scripted.customers[KEY]) == 1
    assert (await answers(bench)).count("customer 1, as before") == 9


@pytest.mark.slow
async def test_killed_again_and_again_each_stranger_is_one_customer(bench: Bench, scripted: ScriptedCrm) -> None:
    """Killed at any moment between the question and the row that says it is done."""
    scripted.delay = 0.01
    numbers = range(12)
    await bench.record("0001", *(ended(record(f"pbx:{number}", phone=stranger(number))) for number in numbers))
    for kill in range(25):
        deliveries = Deliveries(
            bench.outbox,
            bench.crm,
            Customers(bench.pool),
            FollowUps(bench.pool),
            [enterprise("0001", bench.url)],
            jitter=lambda: 0.0,
        )
        task = asyncio.create_task(deliveries.run(asyncio.Event()), name="deliveries to be killed")
        await asyncio.sleep(0.02 + 0.003 * kill)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with bench.running("0001"):
        await bench.settled("0001")
    phones = [customer["phones"][0]["number"] for customer in scripted.customers[KEY]]
    assert sorted(phones) == sorted(map(stranger, numbers))


async def test_made_by_a_run_that_died_he_is_known_by_our_external_id(bench: Bench, scripted: ScriptedCrm) -> None:
    """The CRM made him and its answer was lost; its search does not know him yet."""
    async with bench.running("0001"):
        await bench.record("0001", ended(record("pbx:1")))
        await bench.settled("0001")
        await bench.pool.execute("DELETE FROM retailcrm_customers")
        scripted.always[MANAGER] = scripted.always[CUSTOMERS] = found_nobody
        await bench.record("0001", ended(record("pbx:2")))
        await bench.settled("0001")
    assert len(scripted.customers[KEY]) == 1
    assert (await answers(bench))[-1] == "customer 1, made before"


async def test_nobody_is_made_where_that_is_not_wanted(bench: Bench, scripted: ScriptedCrm) -> None:
    async with bench.running("0001") as deliveries:
        deliveries.enterprises([replace(enterprise("0001", bench.url), create_customers=False)])
        await bench.record("0001", ended(record("pbx:1")))
        await bench.settled("0001")
    assert scripted.of(CREATE) == []
    assert await answers(bench) == ["nobody in the CRM has this number"]


@pytest.mark.parametrize(
    ("shown", "named"),
    [("Жанна Ивановская", "Жанна Ивановская"), ("79161234567", PHONE), ("Sales 74951110001", PHONE), (None, PHONE)],
)
async def test_he_is_named_as_he_was_shown_if_that_is_a_name(
    bench: Bench, scripted: ScriptedCrm, shown: str | None, named: str
) -> None:
    async with bench.running("0001"):
        await bench.record("0001", ended(replace(record("pbx:1"), caller_name=shown)))
        await bench.settled("0001")
    assert scripted.customers[KEY][0]["firstName"] == named


@pytest.mark.parametrize(
    "verdict",
    [
        record("pbx:1", operators=(), outcome=Outcome.MISSED),
        record("pbx:1", caller="101"),
        record("pbx:1", caller="101", operators=(), outcome=Outcome.NO_ANSWER),
    ],
    ids=["missed", "outgoing", "outgoing in vain"],
)
async def test_whoever_called_or_was_called(bench: Bench, scripted: ScriptedCrm, verdict: CallRecord) -> None:
    async with bench.running("0001"):
        await bench.record("0001", ended(verdict))
        await bench.settled("0001")
    assert len(scripted.customers[KEY]) == 1


async def test_a_hidden_number_is_nobodys(bench: Bench, scripted: ScriptedCrm) -> None:
    hidden = replace(record("pbx:1"), phone=None, external_number=None)
    async with bench.running("0001"):
        await bench.record("0001", ended(hidden))
        await bench.settled("0001")
    assert await answers(bench) == []
    assert len(scripted.of(UPLOAD)) == 1


class TestTroubles:
    async def test_popups_and_history_do_not_wait_for_customers(self, bench: Bench, scripted: ScriptedCrm) -> None:
        over = asyncio.Event()
        scripted.always[MANAGER] = hang(over)
        async with bench.running("0001"):
            await bench.record("0001", ended(record("pbx:1")))
            await until(lambda: scripted.of(MANAGER) and scripted.of(UPLOAD) and scripted.of(EVENT))
            over.set()
            await bench.settled("0001")

    @pytest.mark.parametrize("trouble", [html, nonsense, busy("0"), says(500, "Internal server error")])
    async def test_it_is_tried_again(self, bench: Bench, scripted: ScriptedCrm, trouble: Answer) -> None:
        for path in (MANAGER, CREATE):
            scripted.script[path].append(trouble)
        async with bench.running("0001"):
            await bench.record("0001", ended(record("pbx:1")))
            await bench.settled("0001")
        assert len(scripted.customers[KEY]) == 1
        assert await answers(bench) == ["customer 1, made"]

    async def test_what_the_crm_refuses_is_parked_with_its_words(self, bench: Bench, scripted: ScriptedCrm) -> None:
        scripted.always[CREATE] = says(400, "Errors in the entity format")
        with capture_logs() as logs:
            async with bench.running("0001"):
                await bench.record("0001", ended(record("pbx:1")))
                await bench.settled("0001")
        assert await answers(bench) == ["Errors in the entity format (HTTP 400)"]
        [line] = [line for line in logs if line["event"] == "customer_parked"]
        assert line["call"] == "pbx:1"
        assert len(scripted.of(UPLOAD)) == 1, "history has nothing to do with it"

    async def test_parked_it_can_be_sent_again(self, bench: Bench, scripted: ScriptedCrm) -> None:
        scripted.script[CREATE].append(says(400, "Errors in the entity format"))
        async with bench.running("0001"):
            await bench.record("0001", ended(record("pbx:1")))
            await bench.settled("0001")
        [parked] = await bench.outbox.find(ONE, status=DeliveryStatus.PARKED)
        assert await bench.outbox.resend(ONE, [parked.id]) == [parked.id]
        async with bench.running("0001"):
            await bench.settled("0001")
        assert await answers(bench) == ["customer 1, made"]

    async def test_a_wrong_key_settles_nothing(self, bench: Bench, scripted: ScriptedCrm) -> None:
        scripted.keys = set()
        async with bench.running("0001"):
            await bench.record("0001", ended(record("pbx:1", operators=())))
            await until(lambda: len(scripted.heard) >= 1)
        due = await bench.outbox.load_due(ONE)
        assert sorted(row.kind for row in due) == ["customer", "history"]
        assert all(row.attempts == 0 for row in due)

    async def test_a_database_that_goes_away_in_between_loses_nobody(
        self, bench: Bench, scripted: ScriptedCrm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amibridge.delivery.courier.DATABASE_AGAIN", timedelta(milliseconds=20))
        scripted.delay = 0.02
        async with bench.running("0001"):
            for number in range(20):
                await bench.record("0001", ended(record(f"pbx:{number}", phone=stranger(number), operators=())))
                if number % 5 == 3:
                    await in_the_end(lambda: bench.pool.execute(CUT_THE_OTHERS))
            await bench.settled("0001", 60)
        assert len(scripted.customers[KEY]) == 20


async def found_nobody() -> web.StreamResponse:
    return web.json_response({"success": True, "customers": [], "pagination": {"totalPageCount": 0}})


def listed(scripted: ScriptedCrm) -> Answer:
    """All customers, whatever was asked."""

    async def answer() -> web.StreamResponse:
        found = list(scripted.customers[KEY])
        return web.json_response({"success": True, "customers": found, "pagination": {"totalPageCount": 1}})

    return answer
