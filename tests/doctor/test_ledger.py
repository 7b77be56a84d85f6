"""What the ledger knows of an enterprise, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId
from amibridge.calls.telling import Anomaly, AnomalyKind
from amibridge.config import KeepSettings
from amibridge.delivery.judge import UNSPEAKABLE
from amibridge.doctor import ledger
from amibridge.doctor.findings import Finding, Level
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.anomalies import HeardAnomaly, record_anomalies
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import KNOWS_NOT, DeliveryStatus, Outbox, Settlement, knows_not
from amibridge.store.requests import CrmRequest, CrmRequests
from amibridge.store.survey import Survey
from tests.delivery.rows import dialled, ended, rang, record
from tests.doctor.looking import all_of, unwell

pytestmark = pytest.mark.postgres

ONE, OTHER = EnterpriseId("0123"), EnterpriseId("0124")
LONG_AGO = timedelta(hours=2)


class Story:
    """What happened to one enterprise's calls, told to a real ledger."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def heard(self, *facts: AnyFact, ago: timedelta = timedelta(0), number: EnterpriseId = ONE) -> list[int]:
        at = datetime.now(UTC) - ago
        said = [HeardFact(number, HostName("pbx1"), fact, at) for fact in facts]
        return [delivery.id for delivery in await Ledger(self._pool).record(said)]

    async def answered(self, ids: list[int], status: DeliveryStatus, answer: str) -> None:
        await Outbox(self._pool).settle([Settlement(ONE, one, status, None, 3, answer) for one in ids])

    async def deliveries(self) -> list[Finding]:
        return await all_of(ledger.deliveries(ONE, Outbox(self._pool), Survey(self._pool)))


@pytest.fixture
async def story(pool: asyncpg.Pool) -> Story:
    story = Story(pool)
    await story.heard(ended(record("pbx1:9.9")), ago=LONG_AGO, number=OTHER)  # which is nobody's affair here
    return story


class TestDeliveries:
    async def test_nothing_yet(self, story: Story) -> None:
        [told] = await story.deliveries()
        assert (told.level, told.found) == (Level.OK, "nothing was told yet")

    async def test_all_told_and_the_last_on_its_way(self, story: Story) -> None:
        await story.answered(await story.heard(rang("pbx1:1.1", "101")), DeliveryStatus.SENT, "accepted")
        await story.heard(rang("pbx1:2.2", "101"))
        [told] = await story.deliveries()
        assert (told.level, told.found) == (Level.OK, "1 due, the oldest made 0 s ago; the newest was told 0 s ago")

    async def test_what_waits_for_long_is_a_failure(self, story: Story) -> None:
        await story.heard(rang("pbx1:1.1", "101"), ago=LONG_AGO)
        assert unwell(await story.deliveries()) == [
            (Level.FAIL, "deliveries", "1 due, the oldest made 2 h ago; nothing was told yet")
        ]

    async def test_what_is_parked_is_told_by_its_reasons_with_what_to_do(self, story: Story) -> None:
        for number, reason in enumerate(("no such site", "no such site", "given up after 5 days: busy")):
            made = await story.heard(ended(record(f"pbx1:{number}.1")), ago=LONG_AGO)
            await story.answered(made[1:2], DeliveryStatus.PARKED, reason)
            await story.answered(made[2:] if number == 0 else [], DeliveryStatus.PARKED, f"{UNSPEAKABLE}\x1b[2J")
            await story.answered(made[:1] + made[2:], DeliveryStatus.SENT, "accepted")
        found = [one for one in await story.deliveries() if one.level is not Level.OK]
        assert {(one.level, one.found, str(one.advice).partition(";")[0]) for one in found} == {
            (
                Level.WARN,
                "2 parked (history), the oldest made 2 h ago: no such site",
                "mend what the CRM complains of, in the enterprise's file or in the CRM",
            ),
            (
                Level.WARN,
                "1 parked (history), the oldest made 2 h ago: given up after 5 days: busy",
                "see that the CRM answers properly now (CRM told, crm_in_trouble in the log)",
            ),
            (
                Level.WARN,
                f"1 parked (customer), the oldest made 2 h ago: {UNSPEAKABLE}\x1b[2J",
                "this is a defect of ours: send us call_not_expressible from the log, and upgrade",
            ),
        }
        assert all(str(one.advice).endswith("then amibridge resend 0123 --parked") for one in found)

    async def test_of_many_reasons_the_rest_is_counted(self, story: Story) -> None:
        for number in range(5):
            made = await story.heard(ended(record(f"pbx1:{number}.1")))
            await story.answered(made[1:2], DeliveryStatus.PARKED, f"reason {number}")
        *_, last = [one for one in await story.deliveries() if one.level is not Level.OK]
        assert (last.found, last.advice) == (
            "2 more parked for other reasons",
            "amibridge deliveries 0123 --state parked",
        )


class TestRetention:
    KEEP = KeepSettings(requests=timedelta(days=30), deliveries=timedelta(days=90))

    async def found(self, pool: asyncpg.Pool) -> Finding:
        [told] = await all_of(ledger.retention(ONE, Survey(pool), self.KEEP))
        return told

    async def test_what_is_old_is_gone(self, story: Story, pool: asyncpg.Pool) -> None:
        assert (await self.found(pool)).found == "requests of 30 days and settled deliveries of 90 at most"
        made = await story.heard(ended(record("pbx1:1.1")))
        await story.answered(made, DeliveryStatus.PARKED, "no")
        await pool.execute("UPDATE deliveries SET settled_at = now() - interval '1 year' WHERE status = 'parked'")
        assert (await self.found(pool)).level is Level.OK

    async def test_what_is_still_there_is_named(self, story: Story, pool: asyncpg.Pool) -> None:
        made = await story.heard(ended(record("pbx1:1.1")))
        await story.answered(made, DeliveryStatus.SENT, "accepted")
        await pool.execute(
            "UPDATE deliveries SET settled_at = now() - interval '93 days' WHERE enterprise_id = $1", ONE
        )
        at = datetime.now(UTC) - timedelta(days=33)
        await CrmRequests(pool).record(
            [CrmRequest(ONE, at, "GET", "/", (), (), 1, 200, timedelta(), None, None, None, "", "")]
        )
        told = await self.found(pool)
        assert told.level is Level.WARN
        assert told.found.startswith(
            f"there are still requests of {at:%Y-%m-%d}, though only 30 days are kept and settled"
        )


class TestExtensions:
    async def test_all_known(self, story: Story, pool: asyncpg.Pool) -> None:
        await story.answered(await story.heard(rang("pbx1:1.1", "101")), DeliveryStatus.SENT, "accepted")
        assert unwell(await all_of(ledger.unknown_to_crm(ONE, Survey(pool)))) == []

    async def test_those_that_the_crm_does_not_know(self, story: Story, pool: asyncpg.Pool) -> None:
        for extensions in ("105", "106, 105"):
            ids = await story.heard(rang(f"pbx1:{len(extensions)}.1", "105"))
            await story.answered(ids, DeliveryStatus.SENT, f"{KNOWS_NOT}{extensions}")
        [(level, about, found)] = unwell(await all_of(ledger.unknown_to_crm(ONE, Survey(pool))))
        assert (level, about) == (Level.WARN, "CRM extensions")
        assert found.startswith("nobody in the CRM has 106, 105:")

    async def test_users_are_told_apart_for_it_is_another_thing_to_mend(self, story: Story, pool: asyncpg.Pool) -> None:
        ids = await story.heard(rang("pbx1:1.1", "105"), dialled("pbx1:2.2", "106"))
        await story.answered(ids, DeliveryStatus.SENT, knows_not(["105", "user 44"]))
        extensions, users = unwell(await all_of(ledger.unknown_to_crm(ONE, Survey(pool))))
        assert extensions[2].startswith("nobody in the CRM has 105:")
        assert users[2].startswith("the CRM has no user 44,")

    async def test_what_was_mended_is_well_as_soon_as_it_rang_again(self, story: Story, pool: asyncpg.Pool) -> None:
        for call, said in (("pbx1:1.1", knows_not(["105", "user 44"])), ("pbx1:2.2", "accepted")):
            await story.answered(await story.heard(rang(call, "105")), DeliveryStatus.SENT, said)
        await story.answered(await story.heard(rang("pbx1:3.3", "106")), DeliveryStatus.SENT, knows_not(["106"]))
        [(_, _, found)] = unwell(await all_of(ledger.unknown_to_crm(ONE, Survey(pool))))
        assert found.startswith("nobody in the CRM has 106:")

    async def test_what_it_said_days_ago_is_forgotten(self, story: Story, pool: asyncpg.Pool) -> None:
        await story.answered(await story.heard(rang("pbx1:1.1", "105")), DeliveryStatus.SENT, f"{KNOWS_NOT}105")
        await pool.execute("UPDATE deliveries SET settled_at = settled_at - interval '4 days' WHERE status = 'sent'")
        assert unwell(await all_of(ledger.unknown_to_crm(ONE, Survey(pool)))) == []


class TestCalls:
    async def test_all_were_seen_whole(self, story: Story, pool: asyncpg.Pool) -> None:
        [told] = await all_of(ledger.calls(ONE, Survey(pool)))
        assert (told.level, told.found) == (Level.OK, "0 in 3 days")
        await story.heard(ended(record("pbx1:1.1", at=datetime.now(UTC))))
        [told] = await all_of(ledger.calls(ONE, Survey(pool)))
        assert (told.level, told.found) == (Level.OK, "1 in 3 days")

    async def test_some_were_not(self, story: Story, pool: asyncpg.Pool) -> None:
        now = datetime.now(UTC)
        for number, note in enumerate(("older", "the link was down")):
            broken = replace(record(f"pbx1:{number}.1", at=now), complete=False, notes=(note,))
            await story.heard(ended(replace(broken, started_at=now + timedelta(seconds=number))))
        await story.heard(ended(record("pbx1:3.3", at=now)))
        [(level, about, found)] = unwell(await all_of(ledger.calls(ONE, Survey(pool))))
        assert (level, about) == (Level.WARN, "calls")
        assert found == "2 of 3 in 3 days were not seen whole; of the newest: the link was down"

    async def test_one_in_hundreds_is_nothing_to_look_at(self, story: Story, pool: asyncpg.Pool) -> None:
        now = datetime.now(UTC)
        await story.heard(*(ended(record(f"pbx1:{number}.1", at=now)) for number in range(99)))
        await story.heard(ended(replace(record("pbx1:100.1", at=now), complete=False)))
        [told] = await all_of(ledger.calls(ONE, Survey(pool)))
        assert (told.level, told.found) == (Level.OK, "100 in 3 days, 1 of them not whole")


class TestLiveCalls:
    async def test_one_that_goes_on(self, story: Story, pool: asyncpg.Pool) -> None:
        await story.heard(rang("pbx1:1.1", "101", datetime.now(UTC)))
        assert unwell(await all_of(ledger.long_calls(ONE, Survey(pool)))) == []

    async def test_one_of_which_nothing_was_heard_for_days(self, story: Story, pool: asyncpg.Pool) -> None:
        await story.heard(rang("pbx1:1.1", "101", datetime.now(UTC)))
        await pool.execute("UPDATE live_calls SET updated_at = now() - interval '49 hours'")
        [(level, about, found)] = unwell(await all_of(ledger.long_calls(ONE, Survey(pool))))
        assert (level, about) == (Level.WARN, "live calls")
        assert found == "1 on pbx1 are not over, and nothing was heard of them since 2 days ago"


class TestOddCalls:
    async def odd(self, pool: asyncpg.Pool, call: str, passed_over: int = 0, number: EnterpriseId = ONE) -> None:
        anomaly = Anomaly(datetime.now(UTC), CallId(call), f"{call}: is it a line, or a phone?", AnomalyKind.DIRECTION)
        await record_anomalies(pool, [HeardAnomaly(number, HostName("pbx1"), anomaly, passed_over, b"")])

    async def test_none(self, pool: asyncpg.Pool) -> None:
        await self.odd(pool, "pbx1:9.9", number=OTHER)
        assert unwell(await all_of(ledger.riddles(ONE, Survey(pool)))) == []

    async def test_some_with_the_newest_and_what_would_help(self, pool: asyncpg.Pool) -> None:
        await self.odd(pool, "pbx1:1.1")
        await self.odd(pool, "pbx1:2.2", passed_over=5)
        [told] = await all_of(ledger.riddles(ONE, Survey(pool)))
        assert told.level is Level.WARN
        assert told.found == "7 not understood in 3 days, the newest of pbx1:2.2: pbx1:2.2: is it a line, or a phone?"
        assert "--call pbx1:2.2" in str(told.advice)

    async def test_old_ones_are_forgotten(self, pool: asyncpg.Pool) -> None:
        await self.odd(pool, "pbx1:1.1")
        await pool.execute("UPDATE anomalies SET recorded_at = now() - interval '4 days'")
        assert unwell(await all_of(ledger.riddles(ONE, Survey(pool)))) == []
