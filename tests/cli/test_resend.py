"""`amibridge resend`: what was given up is told once more, and what is not is named with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

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
TAKEN_UP = "amibridge: a running bridge takes them up within a minute"


async def said(pool: asyncpg.Pool, *facts: AnyFact, number: EnterpriseId = ONE) -> list[int]:
    heard = [HeardFact(number, HostName("pbx1"), fact, datetime.now(UTC)) for fact in facts]
    return [delivery.id for delivery in await Ledger(pool).record(heard)]


async def settled(pool: asyncpg.Pool, ids: Sequence[int], status: DeliveryStatus, number: EnterpriseId = ONE) -> None:
    await Outbox(pool).settle([Settlement(number, one, status, None, 3, "why") for one in ids])


async def due(pool: asyncpg.Pool, number: EnterpriseId = ONE) -> set[int]:
    return {row.id for row in await Outbox(pool).find(number, status=DeliveryStatus.DUE)}


@pytest.mark.parametrize("words", [["resend", ONE], ["deliveries", ONE, "--resend"]])
async def test_what_cannot_be_sent_again_is_named_with_its_reason(
    amibridge: Amibridge, pool: asyncpg.Pool, words: list[str]
) -> None:
    [popup, closing, parked, waits] = await said(pool, rang("pbx1:1.1", "101"), ended(record("pbx1:1.1")))
    [_, told, _] = await said(pool, ended(record("pbx1:2.2")))
    [theirs] = await said(pool, rang("pbx1:1.1", "101"), number=OTHER)
    await settled(pool, [popup, closing], DeliveryStatus.DROPPED)
    await settled(pool, [parked], DeliveryStatus.PARKED)
    await settled(pool, [told], DeliveryStatus.SENT)
    asked = [popup, parked, waits, told, theirs, 123456789]
    done = await amibridge.beside(*words, *map(str, asked))
    assert (done.code, done.answers) == (1, [{"id": parked, "status": "due"}])
    assert done.sentences == [
        TAKEN_UP,
        f"amibridge: not resent: {popup}: a popup is news, and none is sent late",
        f"amibridge: not resent: {waits}: it is due already",
        f"amibridge: not resent: {told}: the CRM has it",
        f"amibridge: not resent: {theirs}: there is no such delivery, or none any more",
        "amibridge: not resent: 123456789: there is no such delivery, or none any more",
    ]
    assert parked in await due(pool)


async def test_all_that_is_parked(amibridge: Amibridge, pool: asyncpg.Pool) -> None:
    [popup, closing, history, errand] = await said(pool, rang("pbx1:1.1", "101"), ended(record("pbx1:1.1")))
    [_, dropped, other] = await said(pool, ended(record("pbx1:2.2")))
    theirs = (await said(pool, ended(record("pbx1:1.1")), number=OTHER))[1]
    await settled(pool, [popup, closing, dropped], DeliveryStatus.DROPPED)
    await settled(pool, [history, errand, other], DeliveryStatus.PARKED)
    await settled(pool, [theirs], DeliveryStatus.PARKED, OTHER)
    done = await amibridge.beside("resend", ONE, "--parked")
    assert (done.code, done.sentences) == (0, [TAKEN_UP])
    assert [answer["id"] for answer in done.answers] == [history, errand, other]
    assert {row.attempts for row in await Outbox(pool).of_ids(ONE, [history, errand, other])} == {0}
    assert {history, errand, other} <= await due(pool)
    assert dropped not in await due(pool)
    assert theirs not in await due(pool, OTHER)


async def test_all_of_a_call_that_was_given_up(amibridge: Amibridge, pool: asyncpg.Pool, tmp_path: Path) -> None:
    await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
    [closing, history, *errands] = await said(pool, ended(record("pbx1:1.1")))
    [_, other, *_] = await said(pool, ended(record("pbx1:2.2")))
    await settled(pool, [closing, history], DeliveryStatus.DROPPED)
    await settled(pool, [*errands, other], DeliveryStatus.PARKED)
    done = await amibridge.beside("resend", ONE, "--call", "pbx1:1.1")
    assert [answer["id"] for answer in done.answers] == [history, *errands]
    again = await amibridge.beside("resend", ONE, "--call", "pbx1:1.1")
    assert (again.code, again.out) == (0, "")
    assert again.sentences == ["amibridge: of 0123 nothing of pbx1:1.1 was given up"]
    assert other not in await due(pool)


@pytest.mark.parametrize("words", [["1"], ["--parked"], ["--call", "pbx1:1.1"]])
async def test_a_number_that_nobody_has_is_said(amibridge: Amibridge, tmp_path: Path, words: list[str]) -> None:
    await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
    done = await amibridge.beside("resend", "0132", *words)
    assert (done.code, done.out) == (1, "")
    assert done.sentences == ["amibridge: there is no enterprise 0132; did you mean 0123?"]


@pytest.mark.parametrize(
    "words", [[], ["1", "--parked"], ["--parked", "--call", "x"], ["0x1"], ["-1"], ["9" * 19], ["1;2"], ["--all"]]
)
async def test_wrong_usage_resends_nothing(amibridge: Amibridge, pool: asyncpg.Pool, words: list[str]) -> None:
    [_, history, _] = await said(pool, ended(record("pbx1:1.1")))
    await settled(pool, [history], DeliveryStatus.PARKED)
    done = await amibridge.beside("resend", ONE, *words)
    assert (done.code, done.out) == (2, "")
    assert history not in await due(pool)
