"""`/health/live`: the loop turns. `/health/ready`: each thing we depend on, by name, and how it stands.

Laws: one PBX, CRM or receiver that is away does not make the bridge unready, for the others are served; an absent
database does. Anybody may ask, so however many do, the database feels one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from amibridge.enterprises import CrmStanding, EnterpriseId, HistoryStanding, HostStanding, WebhookStanding
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.outbox import Backlog, Outbox
from amibridge.store.recorder import FactQueue
from amibridge.web.answers import Handler

PATIENCE = timedelta(seconds=2)
"""With the database: whoever asks for health has a timeout of his own."""


QUICK, RESTS, AT_MOST = 0.05, 10, 2.0
"""What took the database more than so many seconds is told for so many times as long, but for no more seconds: some
hundred thousand rows take a tenth of a second to count, and facts have to be written meanwhile."""


async def live(request: web.Request) -> web.Response:
    return web.json_response({"status": "live"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask how things stand, beside the database."""

    hosts: Callable[[], Sequence[HostStanding]]
    crms: Callable[[], Sequence[CrmStanding]]
    histories: Callable[[], Sequence[HistoryStanding]]
    queue: FactQueue
    longest_stall: Callable[[], timedelta]
    streams: Callable[[], Mapping[EnterpriseId, int]]
    webhooks: Callable[[], Sequence[WebhookStanding]] = tuple


def readiness(outbox: Outbox, sources: Sources) -> Handler:
    counted = _Counted(outbox)

    async def respond(request: web.Request) -> web.StreamResponse:
        backlogs, reason = await counted.backlogs()
        body = {
            "status": "ready" if reason is None else "not_ready",
            "database": {"state": "up"} if reason is None else {"state": "away", "reason": reason},
            "hosts": [_host(standing) for standing in sources.hosts()],
            "enterprises": [_enterprise(standing) for standing in sources.crms()],
            "histories": [_history(standing) for standing in sources.histories()],
            "webhooks": [_webhook(standing) for standing in sources.webhooks()],
            "facts_waiting": len(sources.queue),
            "deliveries": [_backlog(backlog) for backlog in backlogs],
            "longest_stall_ms": round(sources.longest_stall().total_seconds() * 1000, 1),
        }
        return web.json_response(body, status=200 if reason is None else 503)

    return respond


class _Counted:
    """What waits, counted by one at a time for all who ask meanwhile."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._turn = asyncio.Lock()
        self._found: tuple[Sequence[Backlog], str | None] = (), None
        self._found_at = self._good_till = float("-inf")

    async def backlogs(self) -> tuple[Sequence[Backlog], str | None]:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._turn:
            begun_at = clock()
            if asked_at >= self._found_at and begun_at >= self._good_till:
                self._found = _, reason = await backlogs_of(self._outbox)
                self._found_at = now = clock()
                took = now - begun_at
                rests = RESTS * took if reason is None and took > QUICK else 0.0
                self._good_till = now + min(rests, AT_MOST)
            return self._found


async def backlogs_of(outbox: Outbox) -> tuple[Sequence[Backlog], str | None]:
    """What waits, and why that cannot be told: None when it can."""
    try:
        return await outbox.backlogs(PATIENCE), None
    except TimeoutError:
        return (), f"no answer within {PATIENCE.total_seconds():g} s"
    except DATABASE_FAILURES as error:
        return (), str(error) or type(error).__name__


def _host(standing: HostStanding) -> dict[str, Any]:
    return {
        "enterprise": standing.host.enterprise,
        "host": standing.host.name,
        "state": standing.state,
        "since": standing.since.isoformat(timespec="seconds"),
        "reason": standing.reason,
        "ami": standing.ami,
        "events": standing.events,
        "garbled": standing.garbled,
    }


def _enterprise(standing: CrmStanding) -> dict[str, Any]:
    since = standing.since.isoformat(timespec="seconds")
    return {
        "enterprise": standing.enterprise,
        "crm": {"state": standing.state, "since": since, "reason": standing.reason},
    }


def _history(standing: HistoryStanding) -> dict[str, Any]:
    return {
        "enterprise": standing.enterprise,
        "history": standing.history,
        "read_at": None if standing.read_at is None else standing.read_at.isoformat(timespec="seconds"),
        "reason": standing.reason,
    }


def _webhook(standing: WebhookStanding) -> dict[str, Any]:
    return {
        "enterprise": standing.enterprise,
        "webhook": standing.webhook,
        "state": standing.state,
        "since": standing.since.isoformat(timespec="seconds"),
        "reason": standing.reason,
    }


def _backlog(backlog: Backlog) -> dict[str, Any]:
    return {
        "enterprise": backlog.enterprise,
        "webhook": backlog.webhook or None,
        "status": backlog.status,
        "rows": backlog.rows,
        "oldest": backlog.oldest.isoformat(timespec="seconds"),
    }
