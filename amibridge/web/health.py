"""`/health/live`: the loop turns. `/health/ready`: each thing we depend on, by name, and how it stands.

Law: one PBX, CRM or receiver that is away does not make the bridge unready, for the others are served; an absent
database does.
"""

from __future__ import annotations

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
    async def respond(request: web.Request) -> web.StreamResponse:
        backlogs, reason = await backlogs_of(outbox)
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
