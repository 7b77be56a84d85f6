"""Calls that are over, with recordings in a folder, and links to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import asyncpg

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, HostName
from amibridge.redact import Secret
from amibridge.sandbox.recordings import write_recording
from amibridge.secrets import Keyring
from amibridge.store.directory import Directory
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.web.recordings import record_url
from tests.delivery.rows import ended, record
from tests.store.enterprises import host, romashka
from tests.web.serving import KEYRING, PUBLIC_URL, Answer

NUMBER = EnterpriseId("0123")
CALL = CallId("pbx1:1795491044.6")
ON_THE_PBX = "/var/spool/asterisk/monitor/2026/11/24/call.wav"

Known: TypeAlias = Callable[..., Awaitable[None]]


def knowing(pool: asyncpg.Pool, folder: Path) -> Known:
    """What makes a call with recordings that is over known, and where its host keeps them."""

    async def know(
        *paths: str,
        call: CallId = CALL,
        number: EnterpriseId = NUMBER,
        recordings: str | None = str(folder),
        password: str | None = None,
        keep: timedelta | None = None,
        over_for: timedelta = timedelta(0),
        host_name: str = "pbx1",
    ) -> None:
        secret = None if password is None else Secret(password)
        kept = replace(host(number), recordings=recordings, recordings_password=secret)
        await Directory(pool, KEYRING).apply(replace(romashka(number), hosts=(kept,), recordings_keep=keep))
        verdict = record(call, at=datetime.now(UTC) - over_for)
        fact = ended(replace(verdict, recordings=paths or (ON_THE_PBX,)))
        await Ledger(pool).record([HeardFact(number, HostName(host_name), fact, datetime.now(UTC))])

    return know


def link(
    call: CallId = CALL,
    number: EnterpriseId = NUMBER,
    *,
    keyring: Keyring = KEYRING,
    good_for: timedelta = timedelta(hours=1),
) -> str:
    return record_url(PUBLIC_URL, keyring, number, call, datetime.now(UTC) + good_for).removeprefix(PUBLIC_URL)


def as_it_is(call: CallId = CALL, number: EnterpriseId = NUMBER) -> str:
    return link(call, number) + "?format=wav"


def sound(path: Path, seconds: float = 0.5) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, timedelta(seconds=seconds))
    return path.read_bytes()


def refused(answer: Answer, status: int, error: str) -> bool:
    """An error of that kind, in the published shape, and nothing of a file."""
    return answer.status == status and answer.json == {
        "success": False,
        "error": error,
        "detail": answer.json["detail"],
    }


def come_back(answer: Answer) -> bool:
    return refused(answer, 503, "not_ready") and int(answer.headers["Retry-After"]) > 0
