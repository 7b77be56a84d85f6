"""`amibridge deliveries`: what the CRM was told, or is still to be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amibridge.calls.facts import AnyFact
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import DeliveryStatus, Outbox, Settlement
from tests.cli.commanding import Amibridge
from tests.cli.enterprise_files import EXAMPLE, written
from tests.delivery.rows import ended, rang, record

pytestmark = pytest.mark.usefixtures("at_database")

ONE, OTHER = EnterpriseId("0123"), EnterpriseId("0124")


async def said(pool: asyncpg.Pool, *facts: AnyFact, number: EnterpriseId = ONE) -> list[int]:
    heard = [HeardFact(number, HostName("pbx1"), fact, datetime.now(UTC)) for fact in facts]
    return [delivery.id for delivery in await Ledger(pool).record(heard)]


async def settled(pool: asyncpg.Pool, ids: Sequence[int], status: DeliveryStatus, answer: str) -> None:
    await Outbox(pool).settle([Settlement(ONE, one, status, None, 3, answer) for one in ids])


def ids(answers: Sequence[dict[str, Any]]) -> list[int]:
    return [answer["id"] for answer in answers]


class TestList:
    async def test_the_newest_first_with_all_that_is_known(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        [popup, closing, history, errand] = await said(pool, rang("pbx1:1.1", "101"), ended(record("pbx1:1.1")))
        await said(pool, rang("pbx1:1.1", "101"), number=OTHER)
        await settled(pool, [popup], DeliveryStatus.SENT, "200")
        done = await amibridge.beside("deliveries", ONE)
        assert (done.code, done.sentences) == (0, [])
        assert ids(done.answers) == [errand, history, closing, popup]
        _, first, _, last = done.answers
        assert {name: last[name] for name in ("call", "host", "kind", "status", "attempts", "answer")} == {
            "call": "pbx1:1.1",
            "host": "pbx1",
            "kind": "popup",
            "status": "sent",
            "attempts": 3,
            "answer": "200",
        }
        assert (first["kind"], first["status"], first["answer"], first["settled_at"]) == ("history", "due", None, None)
        assert (first["fresh_until"], first["fact"]) == (None, ended(record("pbx1:1.1")).key)
        fresh_for = datetime.fromisoformat(last["fresh_until"]) - datetime.fromisoformat(last["created_at"])
        assert fresh_for == pytest.approx(timedelta(seconds=20), abs=timedelta(seconds=1))
        for name in ("created_at", "settled_at", "due_at"):
            assert abs(datetime.fromisoformat(last[name]) - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_only_those_of_a_state_or_of_a_call(
        self, amibridge: Amibridge, pool: asyncpg.Pool, tmp_path: Path
    ) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
        made = await said(pool, rang("pbx1:1.1", "101"), rang("pbx1:2.2", "101"), rang("pbx1:3.3", "101"))
        await settled(pool, made[:2], DeliveryStatus.PARKED, "400")
        for words, wanted in (
            (["--state", "parked"], made[1::-1]),
            (["--state", "due"], made[2:]),
            (["--state", "dropped"], []),
            (["--call", "pbx1:2.2"], [made[1]]),
            (["--state", "parked", "--call", "pbx1:1.1"], [made[0]]),
            (["--state", "due", "--call", "pbx1:1.1"], []),
        ):
            done = await amibridge.beside("deliveries", ONE, *words)
            assert (done.code, ids(done.answers)) == (0, wanted)
            assert done.sentences == ([] if wanted else ["amibridge: 0123 has no such deliveries"])

    @pytest.mark.parametrize("words", [(), ("--state", "parked"), ("--call", "pbx1:1.1"), ("--resend", "1")])
    async def test_a_number_that_nobody_has_is_said(
        self, amibridge: Amibridge, tmp_path: Path, words: Sequence[str]
    ) -> None:
        none = await amibridge.beside("deliveries", "0132", *words)
        assert (none.code, none.out) == (1, "")
        assert none.sentences == ["amibridge: there are no enterprises yet: amibridge enterprise apply FILE"]
        await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
        near = await amibridge.beside("deliveries", "0132", *words)
        assert (near.code, near.sentences) == (1, ["amibridge: there is no enterprise 0132; did you mean 0123?"])

    async def test_nothing_yet_is_not_nothing_of_the_kind(self, amibridge: Amibridge, tmp_path: Path) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
        done = await amibridge.beside("deliveries", ONE)
        assert (done.code, done.out, done.sentences) == (0, "", ["amibridge: 0123 has no deliveries yet"])
        done = await amibridge.beside("deliveries", ONE, "--state", "parked")
        assert (done.code, done.out, done.sentences) == (0, "", ["amibridge: 0123 has no such deliveries"])

    @pytest.mark.parametrize("more", [0, 1])
    async def test_that_there_are_more_than_can_be_shown_is_said(
        self, amibridge: Amibridge, pool: asyncpg.Pool, more: int
    ) -> None:
        made = await said(pool, *(rang(f"pbx1:{number}.1", "101") for number in range(100 + more)))
        done = await amibridge.beside("deliveries", ONE)
        assert ids(done.answers) == made[::-1][:100]
        assert done.sentences == (["amibridge: there are more; these are the newest 100"] if more else [])


class TestResend:
    async def test_history_that_was_given_up_is_tried_again(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        [_, one, _, _, two, _] = await said(pool, ended(record("pbx1:1.1")), ended(record("pbx1:2.2")))
        await settled(pool, [one], DeliveryStatus.PARKED, "400")
        await settled(pool, [two], DeliveryStatus.DROPPED, "no such account")
        done = await amibridge.beside("deliveries", ONE, "--resend", str(one), str(two))
        assert (done.code, done.sentences) == (0, [])
        assert sorted(done.answers, key=lambda answer: answer["id"]) == [
            {"id": one, "status": "due"},
            {"id": two, "status": "due"},
        ]
        assert {row.id: (row.status, row.attempts) for row in await Outbox(pool).find(ONE) if row.id in (one, two)} == {
            one: (DeliveryStatus.DUE, 0),
            two: (DeliveryStatus.DUE, 0),
        }

    async def test_what_cannot_be_sent_again_is_named(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        [popup, history] = [
            *await said(pool, rang("pbx1:1.1", "101")),
            (await said(pool, ended(record("pbx1:2.2"))))[-1],
        ]
        [theirs] = await said(pool, rang("pbx1:1.1", "101"), number=OTHER)
        await settled(pool, [popup], DeliveryStatus.DROPPED, "too late")
        await settled(pool, [history], DeliveryStatus.PARKED, "400")
        asked = [popup, history, theirs, 123456789]
        done = await amibridge.beside("deliveries", ONE, "--resend", *map(str, asked))
        assert (done.code, done.answers) == (1, [{"id": history, "status": "due"}])
        left = ", ".join(str(one) for one in sorted({popup, theirs, 123456789}))
        assert done.sentences == [f"amibridge: not resent: {left}; only parked or dropped history can be"]
