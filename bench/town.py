"""Seventy-seven enterprises and what they have in the database: two months of calls, tokens, customers, recordings.

Laws: rows lie there as the recorder and `sync` would have left them; extensions and customers' numbers are the same in
every enterprise, ids of calls are not, so that an answer with somebody else's call would be seen.
"""

from __future__ import annotations

import math
import os
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, Scope
from amibridge.secrets import Keyring
from amibridge.store.db import open_pool
from amibridge.store.migrations import migrate
from amibridge.store.tokens import Tokens
from amibridge.web.recordings import record_url
from bench.pbx import SECRET, USERNAME

ENTERPRISES = 77
CALLS = 200_000
EVERY = timedelta(seconds=25)
"""Between two calls of the whole town."""

FIRST = datetime(2026, 1, 1, tzinfo=UTC)

CUSTOMERS = 500
"""Of each enterprise, who call again and again."""

EXTENSIONS = 20
OPERATOR = "150"
"""Who clicks, and whom the dialplan is told; none of those whose phones ring, for a popup names users by their ids."""

RECORDED = timedelta(seconds=60)
RATE = 8000

_FILL = """
INSERT INTO calls (enterprise_id, call_id, host, direction, outcome, external_number, phone, line, queue, rang,
                   operators, started_at, rang_at, answered_at, ended_at, waited, talked, hangup_by, transfers,
                   recordings, complete, notes)
SELECT enterprise, format('%s:%s.%s', host, extract(epoch FROM at)::bigint, n / $2), host, direction, outcome, phone,
       phone, '+74951234567', CASE WHEN n % 3 = 0 THEN 'sales' END, ARRAY[extension, '199'],
       CASE WHEN outcome = 'answered' THEN ARRAY[extension] ELSE '{}' END, at, at + interval '1 s',
       CASE WHEN outcome = 'answered' THEN at + interval '8 s' END, at + interval '68 s', interval '7 s',
       CASE WHEN outcome = 'answered' THEN interval '60 s' ELSE interval '0' END, 'customer', '[]',
       CASE WHEN outcome = 'answered' THEN ARRAY[format('call-%s.wav', n)] ELSE '{}' END, true, '{}'
  FROM generate_series(0, $1::int - 1) AS n,
       LATERAL (SELECT lpad((n % $2::int)::text, 4, '0') AS enterprise, format('pbx%s', n % $2) AS host,
                       $3::timestamptz + n * $4::interval AS at,
                       '+7916' || lpad((n / $2 % $5::int)::text, 7, '0') AS phone,
                       (101 + n / $2 % $6::int)::text AS extension,
                       CASE WHEN n / $2 % 4 < 3 THEN 'incoming' ELSE 'outgoing' END AS direction,
                       CASE WHEN n / $2 % 5 = 4 THEN 'missed' ELSE 'answered' END AS outcome) AS made
"""

_PARTS = """
INSERT INTO call_extensions (enterprise_id, call_id, extension, started_at)
SELECT enterprise_id, call_id, unnest(rang), started_at FROM calls
"""

_ATTEMPTS = """
INSERT INTO attempts (enterprise_id, call_id, ordinal, extension, rang_at, joined_at, left_at, outcome)
SELECT enterprise_id, call_id, 0, rang[1], rang_at, answered_at, ended_at, outcome FROM calls
"""

_DELIVERIES = """
INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, status, attempts, due_at, last_answer,
                        created_at, settled_at)
SELECT enterprise_id, host, call_id, format('%s:%s', kind, call_id), kind::delivery_kind, 'sent', 1, ended_at,
       'accepted', ended_at, ended_at
  FROM calls, unnest(ARRAY['popup', 'history']) AS kind
"""

_CUSTOMERS = """
INSERT INTO crm_customers (enterprise_id, customer_id, name, manager_id, is_contact, vip, seen_at)
SELECT lpad((n % $1::int)::text, 4, '0'), n / $1 + 1, 'Somebody', 27, false, false, now()
  FROM generate_series(0, $1 * $2::int - 1) AS n
"""

_PHONES = """
INSERT INTO crm_phones (enterprise_id, customer_id, phone)
SELECT enterprise_id, customer_id, '+7916' || lpad((customer_id - 1)::text, 7, '0') FROM crm_customers
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One that was answered."""

    id: str
    started_at: datetime
    phone: str
    extension: str
    recording: str


@dataclass(frozen=True, slots=True)
class Shop:
    """An enterprise as those see it who ask. *calls*: some of its newest."""

    number: str
    token: str
    client_id: str
    webhook_secret: str
    calls: Sequence[Call]


def enterprise_file(number: int, crm: str, host: str, port: int, recordings: Path) -> str:
    return (
        f'number = "{number:04}"\nname = "Shop {number}"\ntimezone = "Europe/Moscow"\n'
        f'client_id = "{_client_id(number)}"\n'
        f'[retailcrm]\nurl = "{crm}"\napi_key = "key-of-shop-{number:04}"\nwebhook_secret = "{_secret(number)}"\n'
        f'[[asterisk]]\nname = "{host}"\nhost = "127.0.0.1"\nport = {port}\n'
        f'username = "{USERNAME}"\nsecret = "{SECRET}"\nrecordings = "{recordings}"\n'
        f"[operators]\n{OPERATOR} = {{ user = 27 }}\n"
    )


async def fill(dsn: str, enterprises: int, calls: int) -> None:
    """All tables there are, with what these *calls* left."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "amibridge", "synchronous_commit": "off"})
    try:
        await connection.execute(_FILL, calls, enterprises, FIRST, EVERY, CUSTOMERS, EXTENSIONS)
        for sql in (_PARTS, _ATTEMPTS, _DELIVERIES):
            await connection.execute(sql)
        await connection.execute(_CUSTOMERS, enterprises, CUSTOMERS)
        await connection.execute(_PHONES)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def shops(dsn: str, enterprises: int, each: int) -> list[Shop]:
    """Those of a town that is filled and applied, each with a token made for it and *each* of its newest calls."""
    found = []
    async with open_pool(dsn) as pool:
        for number in range(enterprises):
            enterprise = EnterpriseId(f"{number:04}")
            made = await Tokens(pool).add(enterprise, [Scope.READ, Scope.CALL], at=datetime.now(UTC))
            assert made is not None
            rows = await pool.fetch(
                "SELECT call_id, started_at, phone, rang[1] AS extension, recordings[1] AS recording FROM calls"
                " WHERE enterprise_id = $1 AND outcome = 'answered' ORDER BY started_at DESC LIMIT $2",
                *(enterprise, each),
            )
            calls = [Call(*row) for row in rows]
            found.append(Shop(enterprise, made[1], _client_id(number), _secret(number), calls))
    return found


def recording_path(keyring: Keyring, shop: Shop, call: Call) -> str:
    later = datetime.now(UTC) + timedelta(days=1)
    return record_url("", keyring, EnterpriseId(shop.number), CallId(call.id), later)


def record(folder: Path, names: Sequence[str], length: timedelta = RECORDED) -> None:
    """One sound under all these *names*, each of which is a recording of its own."""
    first = folder / names[0]
    with wave.open(str(first), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        second = array("h", (int(2500 * math.sin(math.tau * 440 * at / RATE)) for at in range(RATE))).tobytes()
        for _ in range(round(length.total_seconds())):
            sound.writeframesraw(second)
    for name in names[1:]:
        os.link(first, folder / name)


def _client_id(number: int) -> str:
    return f"client-{number:04}"


def _secret(number: int) -> str:
    return f"webhook-secret-of-{number:04}"
