"""From a dialplan's question to its answer, with the whole daemon, in its worst hour: the CRM does not answer.

Laws: a question has a connection of its own, as CURL() and AGI() make them; questions come at even times, whether the
earlier ones are answered or not; an answer that is not the right one is counted as wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from bench.bridge import Bridge, open_bridge
from bench.crm import open_crm
from bench.pbx import CALLS, SECRET, USERNAME, Pbxs
from bench.popup import own_database, percentile

QUESTIONS = 2000
RATE = 100
"""Questions a second: more than 77 enterprises have calls."""

ENTERPRISES = 10
STRANGERS = 20
"""Asked for all at once, before the bridge has seen that the CRM does not answer."""

KNOWN_AIM, LIMIT = 50.0, 300.0
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class ResponsibleRow:
    """Times in ms; *aim*: for *p99*."""

    whose: str
    way: str
    answers: int
    wrong: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None
    aim: float


@dataclass(frozen=True, slots=True)
class _Question:
    enterprise: int
    phone: str


async def measure(questions: int = QUESTIONS, *, dsn: str | None = None, rate: float = RATE) -> list[ResponsibleRow]:
    """*questions*: of each kind. *dsn*: a server on which a database may be made; without, one of its own."""
    known = [_Question(number % ENTERPRISES, f"+7916{number:07}") for number in range(questions)]
    strangers = [_Question(number % ENTERPRISES, f"+7926{number:07}") for number in range(STRANGERS)]
    pbxs = Pbxs([f"pbx{number}" for number in range(ENTERPRISES)], CALLS)
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(own_database(dsn))
        bridge = await stack.enter_async_context(open_bridge(own))
        crm = await stack.enter_async_context(open_crm(None))
        ports = await stack.enter_async_context(pbxs.serve())
        await bridge.start([_enterprise(number, crm.url, *host) for number, host in enumerate(ports.items())])
        await _mirror(own, known)
        rows = [
            await _row("a stranger's", "CURL", strangers, _by_curl(bridge), "", float("inf"), LIMIT),
            await _row("known, first question", "CURL", known, _by_curl(bridge), "101", rate, KNOWN_AIM),
            await _row("known, again", "CURL", known, _by_curl(bridge), "101", rate, KNOWN_AIM),
            await _row("known, again", "AGI", known, _by_agi(bridge), "101", rate, KNOWN_AIM),
        ]
        await bridge.stop()
        return rows


async def _row(
    whose: str,
    way: str,
    questions: Iterable[_Question],
    ask: Callable[[_Question], Awaitable[str]],
    right: str,
    rate: float,
    aim: float,
) -> ResponsibleRow:
    taken: list[float] = []
    wrong = 0
    begun = time.monotonic()

    async def one(at: float, question: _Question) -> None:
        nonlocal wrong
        await asyncio.sleep(at - (time.monotonic() - begun))
        asked = time.monotonic()
        wrong += await ask(question) != right
        taken.append((time.monotonic() - asked) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for number, question in enumerate(questions):
            tasks.create_task(one(number / rate, question), name=f"question {number}")
    taken.sort()
    p50, p90, p99, longest = (percentile(taken, percent) for percent in (50, 90, 99, 100))
    return ResponsibleRow(whose, way, len(taken), wrong, p50, p90, p99, longest, aim)


def _by_curl(bridge: Bridge) -> Callable[[_Question], Awaitable[str]]:
    host, _, port = bridge.url.removeprefix("http://").partition(":")

    async def ask(question: _Question) -> str:
        reader, writer = await asyncio.open_connection(host, int(port))
        path = f"/retailcrm/{_secret(question.enterprise)}/responsible?format=text&phone={question.phone}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2].decode()

    return ask


def _by_agi(bridge: Bridge) -> Callable[[_Question], Awaitable[str]]:
    host, _, port = bridge.agi.partition(":")

    async def ask(question: _Question) -> str:
        reader, writer = await asyncio.open_connection(host, int(port))
        client = _client(question.enterprise)
        said = f"agi_network_script: responsible\nagi_callerid: {question.phone}\nagi_arg_1: {client}\n\n"
        writer.write(said.encode())
        found = ""
        while line := (await reader.readline()).decode():
            if line.startswith("SET VARIABLE AMIBRIDGE_EXTENSION "):
                found = line.split('"')[1]
            writer.write(b"200 result=1\n")
        writer.close()
        return found

    return ask


def _secret(enterprise: int) -> str:
    return f"webhook-secret-of-{enterprise:04}"


def _client(enterprise: int) -> str:
    return f"client-{enterprise:04}"


def _enterprise(number: int, crm: str, host: str, port: int) -> str:
    return (
        f'number = "{number:04}"\nname = "Shop {number}"\ntimezone = "Europe/Moscow"\nclient_id = "{_client(number)}"\n'
        f'[retailcrm]\nurl = "{crm}"\napi_key = "key-of-shop-{number:04}"\nwebhook_secret = "{_secret(number)}"\n'
        f'[[asterisk]]\nname = "{host}"\nhost = "127.0.0.1"\nport = {port}\n'
        f'username = "{USERNAME}"\nsecret = "{SECRET}"\n[operators]\n101 = {{ user = 27 }}\n'
    )


async def _mirror(dsn: str, known: Iterable[_Question]) -> None:
    """As `sync` would have written them: user 27 looks after each."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge"})
    rows = [(f"{one.enterprise:04}", number, one.phone) for number, one in enumerate(known, 1)]
    try:
        await connection.executemany(
            "INSERT INTO crm_customers (enterprise_id, customer_id, name, manager_id, is_contact, vip, seen_at)"
            " VALUES ($1, $2, 'Somebody', 27, false, false, now())",
            [(enterprise, id) for enterprise, id, _ in rows],
        )
        await connection.executemany(
            "INSERT INTO crm_phones (enterprise_id, customer_id, phone) VALUES ($1, $2, $3)", rows
        )
    finally:
        await connection.close()
