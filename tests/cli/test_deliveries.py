"""`amibridge deliveries`: what the CRM was told, or is still to be told."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from amibridge.calls.facts import AnyFact
from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.outbox import DeliveryStatus, Outbox, Settlement
from amibridge.store.requests import CrmRequest, CrmRequests
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


class TestTries:
    async def test_each_delivery_names_the_requests_that_told_of_it(
        self, amibridge: Amibridge, pool: asyncpg.Pool
    ) -> None:
        [popup, _, history, _] = await said(pool, rang("pbx1:1.1", "101"), ended(record("pbx1:1.1")))
        await CrmRequests(pool).record([asked([history], 1, "due"), asked([popup], 1), asked([history, 999], 2)])
        done = await amibridge.beside("deliveries", ONE, "--call", "pbx1:1.1")
        tries = {answer["id"]: answer["requests"] for answer in done.answers}
        assert [(one["attempt"], one["verdict"]) for one in tries[history]] == [(1, "due"), (2, "sent")]
        assert [one["address"] for one in tries[popup]] == ["/api/v5/telephony/call/event"]
        assert tries[history][0] == {
            "at": "2026-11-25T10:41:23.500+00:00",
            "verb": "POST",
            "address": "/api/v5/telephony/call/event",
            "attempt": 1,
            "http_status": 503,
            "took": 0.25,
            "failure": "the CRM is busy (HTTP 503)",
            "verdict": "due",
            "next_attempt_at": "2026-11-25T10:41:25.500+00:00",
            "request": 'event={"phone":"+375•••••1234"}',
            "answer": "",
        }
        assert len([one for one in tries.values() if one == []]) == 2

    async def test_all_requests_whatever_they_were_about(
        self, amibridge: Amibridge, pool: asyncpg.Pool, tmp_path: Path
    ) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
        none = await amibridge.beside("deliveries", ONE, "--requests")
        assert (none.code, none.sentences) == (0, ["amibridge: of 0123 the CRM was asked nothing yet"])
        await CrmRequests(pool).record([asked([7], 1), replace(asked([], 1), calls=(), verdict=None)])
        done = await amibridge.beside("deliveries", ONE, "--requests")
        assert [(one["calls"], one["deliveries"], one["verdict"]) for one in done.answers] == [
            ([], [], None),
            (["pbx1:1.1"], [7], "sent"),
        ]


class TestNumber:
    @pytest.mark.parametrize("spelt", ["4567", "+7 (916) 123-45-67", "8-916-123-45-67", "•••••4567", "9161234567"])
    async def test_the_end_of_a_number_finds_its_calls(
        self, amibridge: Amibridge, pool: asyncpg.Pool, spelt: str
    ) -> None:
        mine = await said(pool, ended(record("pbx1:1.1", phone="+79161234567")))
        mine += await said(pool, ended(record("pbx1:3.3", phone="+79161234567")))
        await said(pool, ended(record("pbx1:2.2", phone="+79161234568")))
        await said(pool, ended(record("pbx1:1.1", phone="+79161234567")), number=OTHER)
        done = await amibridge.beside("deliveries", ONE, "--phone", spelt)
        assert ids(done.answers) == mine[::-1]
        told = await amibridge.beside("deliveries", ONE, "--phone", spelt, "--text")
        assert re.findall(r"^pbx1:\S+", told.out, re.MULTILINE) == ["pbx1:1.1", "pbx1:3.3"]

    async def test_of_nobody(self, amibridge: Amibridge, pool: asyncpg.Pool, tmp_path: Path) -> None:
        await amibridge.beside("enterprise", "apply", written(tmp_path, EXAMPLE))
        done = await amibridge.beside("deliveries", ONE, "--phone", "5555")
        assert (done.code, done.out, done.sentences) == (0, "", ["amibridge: 0123 has no such deliveries"])

    @pytest.mark.parametrize("number", ["", "123", "abcd", "12%4", "٣٣٣٣", "1234'"])
    async def test_what_is_no_number_is_refused(self, amibridge: Amibridge, number: str) -> None:
        done = await amibridge.beside("deliveries", ONE, "--phone", number)
        assert (done.code, done.out) == (2, "")
        assert "a number, or its end, is four digits at least" in done.err


class TestStory:
    async def test_a_call_is_told_from_its_beginning_to_its_end(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        [popup, closing, history, errand] = await said(pool, rang("pbx1:1.1", "101"), ended(record("pbx1:1.1")))
        await settled(pool, [popup], DeliveryStatus.SENT, "accepted")
        await settled(pool, [closing], DeliveryStatus.DROPPED, "nobody to tell")
        await settled(pool, [errand], DeliveryStatus.PARKED, "\x1b[2Jno such site")
        await CrmRequests(pool).record([asked([popup], 1), asked([history], 1, "due")])
        done = await amibridge.beside("deliveries", ONE, "--call", "pbx1:1.1", "--text")
        assert (done.code, done.err) == (0, "")
        lines = done.out.splitlines()
        assert lines[0].startswith("pbx1:1.1 on pbx1, 20")
        found = [" ".join(line.split()[1:4]) for line in lines[1:] if not line.startswith(" ")]
        assert found == [
            f"{popup} popup: sent",
            f"{closing} popup: dropped",
            f"{history} history: due,",
            f"{errand} customer: parked",
        ]
        after = lines[lines.index(next(line for line in lines if f"{history} history" in line)) + 1]
        assert re.fullmatch(
            r" {14}\d\d:41:23\.500 try 1: POST /api/v5/telephony/call/event: 503 in 0\.25 s; due,"
            r" next attempt \d\d:41:25\.500",
            after,
        )
        assert "\x1b" not in done.out
        assert "  ← the CRM is busy (HTTP 503)" in done.out
        assert done.out.count("+375•••••1234") == 2

    async def test_a_table_has_the_newest_last(self, amibridge: Amibridge, pool: asyncpg.Pool) -> None:
        made = await said(pool, rang("pbx1:1.1", "101"), rang("pbx1:22.1", "101"))
        done = await amibridge.beside("deliveries", ONE, "--text")
        assert [int(line.split()[0]) for line in done.out.splitlines()] == made

    @pytest.mark.parametrize("words", [[], ["--json"]])
    async def test_on_a_terminal_it_is_for_people_unless_machines_are_meant(
        self, at_database: str, pool: asyncpg.Pool, words: list[str]
    ) -> None:
        [popup] = await said(pool, rang("pbx1:1.1", "101"))
        ours, theirs = os.openpty()
        command = [sys.executable, "-m", "amibridge", "deliveries", ONE, "--call", "pbx1:1.1", *words]
        done = await asyncio.to_thread(
            subprocess.run, command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, check=True
        )
        os.close(theirs)
        out = os.read(ours, 100_000).decode()
        os.close(ours)
        assert done.stderr == b""
        assert out.startswith("{" if words else "pbx1:1.1 on pbx1")
        assert str(popup) in out


def asked(deliveries: Sequence[int], attempt: int, verdict: str = "sent") -> CrmRequest:
    at, failed = datetime(2026, 11, 25, 10, 41, 23, 500_000, UTC), verdict == "due"
    return CrmRequest(
        enterprise=ONE,
        at=at,
        verb="POST",
        address="/api/v5/telephony/call/event",
        calls=(CallId("pbx1:1.1"),),
        deliveries=deliveries,
        attempt=attempt,
        status=503 if failed else 200,
        took=timedelta(milliseconds=250),
        failure="the CRM is busy (HTTP 503)" if failed else None,
        verdict=verdict,
        next_attempt_at=at + timedelta(seconds=2) if failed else None,
        request='event={"phone":"+375•••••1234"}',
        answer="" if failed else '{"success":true}',
    )
