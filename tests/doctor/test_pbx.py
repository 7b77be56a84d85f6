"""A sandbox PBX as the doctor finds it: well, and with each fault that it names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from amibridge.calls.numbering import Numbering
from amibridge.doctor.findings import Check, Finding, Level, findings_of
from amibridge.doctor.pbx import pbx
from amibridge.enterprises import AmiHost, Enterprise, HostName
from amibridge.redact import Secret
from amibridge.sandbox.pbx import SandboxPbx
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.survey import Survey
from tests.delivery.rows import ended, record
from tests.doctor.looking import all_of, by_about, unwell
from tests.sandbox.ami_client import ANSWERED, BUSY, pbx_of
from tests.store.enterprises import host, romashka

pytestmark = pytest.mark.postgres

BRIEFLY = timedelta(milliseconds=50)


def shop(address: tuple[str, int], **changes: Any) -> tuple[AmiHost, Enterprise]:
    usual = replace(host(), secret=Secret("demo"), numbering=Numbering(r"^\d{3}$"))
    there = replace(usual, host=address[0], port=address[1], **changes)
    return there, replace(romashka(), hosts=(there,), operators={})


async def found_at(
    sandbox: SandboxPbx, pool: asyncpg.Pool, *, listening: timedelta = BRIEFLY, **changes: Any
) -> list[Finding]:
    async with sandbox.serve() as address:
        there, enterprise = shop(address, **changes)
        return await all_of(pbx(there, enterprise, Survey(pool), listening=listening))


async def test_all_is_well_while_a_call_goes_on(pool: asyncpg.Pool) -> None:
    found = await found_at(pbx_of(ANSWERED, speed=1.0, gap=1.0), pool, listening=timedelta(seconds=10))
    assert unwell(found) == []
    assert set(by_about(found)) == {
        "pbx1 login", "pbx1 rights", "pbx1 clock", "pbx1 endpoints", "pbx1 operators", "pbx1 events",
    }  # fmt: skip
    [login, *_] = found
    assert login.found.startswith("Asterisk 22.10.1 at 127.0.0.1:")
    assert "call" in found[-1].found


async def test_it_asks_nothing_that_changes_the_pbx(pool: asyncpg.Pool) -> None:
    sandbox = pbx_of(BUSY)
    await found_at(sandbox, pool)
    assert {action["Action"] for action in sandbox.received} == {
        "Login", "Filter", "Ping", "CoreShowChannels", "ParkedCalls", "ListCommands", "CoreSettings",
        "PJSIPShowEndpoints", "SIPpeers", "Logoff",
    }  # fmt: skip


class TestLogin:
    async def test_nobody_there(self, pool: asyncpg.Pool, unused_tcp_port: int) -> None:
        there, enterprise = shop(("127.0.0.1", unused_tcp_port))
        [failed] = await all_of(pbx(there, enterprise, Survey(pool)))
        assert failed.found.startswith(f"127.0.0.1:{unused_tcp_port}: ")
        assert (failed.level, "bindaddr" in str(failed.advice)) == (Level.FAIL, True)

    async def test_no_such_name(self, pool: asyncpg.Pool) -> None:
        there, enterprise = shop(("pbx.invalid", 5038))
        assert [one.level for one in await all_of(pbx(there, enterprise, Survey(pool)))] == [Level.FAIL]

    async def test_something_else_answers(self, pool: asyncpg.Pool) -> None:
        sandbox = pbx_of(BUSY)
        sandbox.misbehave(greeting=b"SSH-2.0-OpenSSH_9.2\r\n")
        [failed] = await found_at(sandbox, pool)
        assert "does not speak AMI" in failed.found
        assert "AMI, not SIP or HTTP" in str(failed.advice)

    async def test_a_wrong_secret(self, pool: asyncpg.Pool) -> None:
        [failed] = await found_at(pbx_of(BUSY), pool, secret=Secret("hush-wrong"))
        assert failed.found.endswith(": Authentication failed")
        assert "[amibridge]" in str(failed.advice)
        assert "permit" in str(failed.advice)
        assert "hush" not in f"{failed}"

    async def test_it_hangs_up_in_the_middle(self, pool: asyncpg.Pool) -> None:
        sandbox = pbx_of(BUSY)
        sandbox.misbehave(cut_after_bytes=900)
        assert [one.level for one in unwell_only(await found_at(sandbox, pool))] == [Level.FAIL]


class TestRights:
    @pytest.mark.parametrize(
        ("mischief", "about", "words"),
        [
            ({"refuses": {"Filter"}}, "pbx1 rights", "it may not set an event filter"),
            ({"refuses": {"CoreShowChannels"}}, "pbx1 rights", "it may not ask which channels live"),
            ({"refuses": {"Originate"}}, "pbx1 rights", "it may not place calls"),
            ({"boots": False}, "pbx1 rights", "its `read` lacks system"),
            ({"refuses": {"PJSIPShowEndpoints", "SIPpeers"}}, "pbx1 endpoints", "it may not list them"),
        ],
    )
    async def test_each_that_is_missing_is_named(
        self, pool: asyncpg.Pool, mischief: dict[str, object], about: str, words: str
    ) -> None:
        sandbox = pbx_of(ANSWERED, speed=1.0)
        sandbox.misbehave(**{name: frozenset(v) if isinstance(v, set) else v for name, v in mischief.items()})
        found = unwell(await found_at(sandbox, pool, listening=timedelta(seconds=10)))
        assert [(level, where) for level, where, _ in found] == [(Level.WARN, about)]
        assert words in found[0][2]

    async def test_without_core_settings_the_version_is_that_of_ami(self, pool: asyncpg.Pool) -> None:
        sandbox = pbx_of(BUSY)
        sandbox.misbehave(refuses=frozenset({"CoreSettings"}))
        [login, *_] = await found_at(sandbox, pool)
        assert login.found.startswith("AMI 11.0.0 at ")


class TestClock:
    @pytest.mark.parametrize(("ahead", "level"), [(5, Level.WARN), (-300, Level.FAIL)])
    async def test_one_that_differs_is_told(self, pool: asyncpg.Pool, ahead: int, level: Level) -> None:
        sandbox = pbx_of(ANSWERED, speed=1.0)
        sandbox.misbehave(ahead=timedelta(seconds=ahead))
        assert by_about(await found_at(sandbox, pool))["pbx1 clock"] is level


class TestEvents:
    async def test_none_ever_asks_for_a_call(self, pool: asyncpg.Pool) -> None:
        async with silent() as address:
            there, enterprise = shop(address)
            [told] = [
                one
                for one in await all_of(pbx(there, enterprise, Survey(pool), listening=BRIEFLY))
                if "event" in one.about
            ]
        assert (told.level, told.found) == (Level.WARN, "none within 0.05 s, and no call of it is known")
        assert "let somebody call meanwhile" in str(told.advice)

    @pytest.mark.parametrize(
        ("past", "level", "words"),
        [
            (timedelta(minutes=5), Level.OK, "its newest call ended 5 min ago"),
            (timedelta(days=9), Level.WARN, "its newest call ended 9 days ago"),
        ],
    )
    async def test_a_call_that_was_proves_them(
        self, pool: asyncpg.Pool, past: timedelta, level: Level, words: str
    ) -> None:
        at = datetime.now(UTC) - past - timedelta(seconds=1)
        fact = ended(record("pbx1:1.1", at=at))
        async with silent() as address:
            there, enterprise = shop(address)
            await Ledger(pool).record([HeardFact(there.enterprise, HostName("pbx1"), fact, at)])
            found = await all_of(pbx(there, enterprise, Survey(pool), listening=BRIEFLY))
        assert by_about(found)["pbx1 events"] is level
        assert words in next(one.found for one in found if one.about == "pbx1 events")

    async def test_that_they_do_not_tell_the_time_is_told(self, pool: asyncpg.Pool) -> None:
        sandbox = pbx_of(ANSWERED, speed=1.0)
        sandbox.misbehave(stamps=False)
        found = unwell(await found_at(sandbox, pool, listening=timedelta(seconds=10)))
        assert [(level, where) for level, where, _ in found] == [(Level.WARN, "pbx1 events")]
        assert "calls are timed by when we hear of them" in found[0][2]


async def test_a_list_that_does_not_end_ends_with_the_check(pool: asyncpg.Pool) -> None:
    async with silent(endless=True) as address:
        there, enterprise = shop(address)
        check = Check("pbx1 login", lambda: pbx(there, enterprise, Survey(pool)), timedelta(seconds=1))
        found = await findings_of(check)
    assert found[-1].found == "nothing more was learnt within 1 s"
    assert by_about(found)["pbx1 rights"] is Level.OK


def unwell_only(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.level is not Level.OK]


@asynccontextmanager
async def silent(*, endless: bool = False) -> AsyncIterator[tuple[str, int]]:
    """A PBX where nobody calls. *endless*: its list of endpoints has no end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        try:
            while True:
                raw = (await reader.readuntil(b"\r\n\r\n")).decode()
                said = dict(line.split(": ", 1) for line in raw.strip().split("\r\n"))
                more = {
                    "Ping": f"Ping: Pong\r\nTimestamp: {datetime.now(UTC).timestamp():.6f}\r\n",
                    "ListCommands": "Filter: x (Priv: system,all)\r\nPJSIPShowEndpoints: x (Priv: system,all)\r\n"
                    "Originate: x (Priv: originate,all)\r\n",
                }
                writer.write(
                    f"Response: Success\r\nActionID: {said['ActionID']}\r\n{more.get(said['Action'], '')}\r\n".encode()
                )
                if said["Action"] == "Login":
                    writer.write(b"Event: FullyBooted\r\nPrivilege: system,all\r\n\r\n")
                if said["Action"] == "PJSIPShowEndpoints":
                    item = f"Event: EndpointList\r\nActionID: {said['ActionID']}\r\nObjectName: 101\r\n\r\n"
                    writer.write(
                        item.encode() + (b"" if endless else b"Event: EndpointListComplete\r\nActionID: 1\r\n\r\n")
                    )
        except (EOFError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
