"""The page of the sandbox CRM: operators' desks with their popups, the call history, counters and the request log.

Laws: one description (`describe`) feeds both the page and `/state.json`; every text is escaped by the template; the
page needs nothing from outside and works without JavaScript, which only keeps it fresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from amibridge.sandbox.crm_account import CrmAccount, Notice, Popup, SandboxUser, StoredCall
from amibridge.sandbox.crm_customers import full_name
from amibridge.sandbox.crm_witness import SeenRequest, Witness

SHOWN_CALLS = 50
SHOWN_REQUESTS = 100
SHOWN_RECORDS = 10
"""Customers, tasks and notices on the page; all of them are in `/state.json`."""
REMEMBERED = timedelta(seconds=7)
"""How long a closed popup still tells why; the style sheet fades it for a second more."""

HEARTBEAT = 15.0
BREATH = 0.2
"""Seconds in which changes are gathered into one message: a page that reloads faster is not read faster."""

WHY = {
    "answered": "Answered",
    "no answered": "No answer",
    "busy": "Busy",
    "cancel": "Cancelled",
    "failed": "Failed",
}
RESULTS = {
    "answered": "Answered",
    "no answer": "No answer",
    "busy": "Busy",
    "failed": "Failed",
    "not allowed": "Not allowed",
    "unknown": "Unknown",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; media-src http: https:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Recordings play from wherever they are kept; nothing else comes from elsewhere."""


def add_page(app: web.Application, accounts: Sequence[CrmAccount], witness: Witness) -> None:
    """`/`, `/state.json`, `/changes` (server-sent events), `/health`, and the page's style and script."""
    page = _Page(accounts, witness)
    app.router.add_get("/", page.show)
    app.router.add_get("/state.json", page.state)
    app.router.add_get("/changes", page.changes)
    app.router.add_get("/health", page.health)
    for name, kind in (("crm.css", "text/css"), ("crm.js", "text/javascript")):
        app.router.add_get(f"/{name}", _asset(name, kind))


def describe(
    accounts: Sequence[CrmAccount], witness: Witness, now: datetime, newest: int | None = None
) -> dict[str, Any]:
    """Plain data; calls by their date and requests, newest first; of each account the *newest* calls that came in,
    and then of customers, tasks and notices the newest few, too.
    """
    return {
        "now": now.isoformat(),
        "accounts": [_account(account, now, newest) for account in accounts],
        "counters": {
            "events": sum(len(account.popups) for account in accounts),
            "uploads": sum(account.uploads for account in accounts),
            "calls": sum(len(account.calls) for account in accounts),
            "duplicates": sum(len(account.duplicates) for account in accounts),
            "refused": witness.refused,
            "violations": len(witness.violations),
        },
        "requests": [_request(seen) for seen in islice(reversed(witness.requests), SHOWN_REQUESTS)],
    }


class _Page:
    def __init__(self, accounts: Sequence[CrmAccount], witness: Witness) -> None:
        self._accounts = accounts
        self._witness = witness
        self._template = _template()

    async def show(self, request: web.Request) -> web.Response:
        state = describe(self._accounts, self._witness, datetime.now(UTC), SHOWN_CALLS)
        text = self._template.render(state, why=WHY, results=RESULTS)
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response(describe(self._accounts, self._witness, datetime.now(UTC)), headers=HEADERS)

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers=HEADERS)

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """One `changed` message for all that changed since the last."""
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        queue = self._witness.subscribe()
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        number = 0
        try:
            while True:
                try:
                    heard = [await asyncio.wait_for(queue.get(), HEARTBEAT)]
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                while not queue.empty():
                    heard.append(queue.get_nowait())
                if None in heard:
                    return response
                number += 1
                await response.write(b"event: changed\ndata: %d\n\n" % number)
                await asyncio.sleep(BREATH)
        except ConnectionError:
            return response


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("amibridge.sandbox"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": _clock, "millis": _millis}
    return environment.get_template("crm.html")


def _asset(name: str, kind: str) -> Any:
    content = files("amibridge.sandbox").joinpath("templates", name).read_text("utf-8")

    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=content, content_type=kind, headers=HEADERS)

    return serve


def _account(account: CrmAccount, now: datetime, newest: int | None) -> dict[str, Any]:
    records = None if newest is None else SHOWN_RECORDS
    shown = [*account.open_popups(), *account.closed_popups(now - REMEMBERED)]
    shown.sort(key=lambda popup: popup.opened_at, reverse=True)
    return {
        "name": account.account.name,
        "site": account.account.site,
        "time_zone": account.account.time_zone.key,
        "stored": len(account.calls),
        "users": [
            {**_user(account, user), "popups": [_popup(popup) for popup in shown if popup.user == user.id]}
            for user in account.users.values()
        ],
        "calls": [_call(account, call) for call in _latest(account.calls, newest)],
        "known": len(account.customers.by_id),
        "customers": [_customer(one) for one in islice(reversed(account.customers.by_id.values()), records)],
        "notices": [_notice(one) for one in islice(reversed(account.notices), records)],
        "tasks": [_task(account, one) for one in islice(reversed(account.tasks.values()), records)],
    }


def _latest(calls: Sequence[StoredCall], newest: int | None) -> list[StoredCall]:
    return sorted(islice(reversed(calls), newest), key=lambda call: call.date, reverse=True)


def _user(account: CrmAccount, user: SandboxUser) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "code": account.codes.get(user.id)}


def _popup(popup: Popup) -> dict[str, Any]:
    return {
        "call": popup.call,
        "kind": popup.kind,
        "phone": popup.phone,
        "customer": popup.customer,
        "line": popup.external_phone,
        "rings": popup.rings,
        "opened_at": popup.opened_at.isoformat(),
        "closed_at": None if popup.closed_at is None else popup.closed_at.isoformat(),
        "hangup_status": popup.hangup_status,
    }


def _call(account: CrmAccount, call: StoredCall) -> dict[str, Any]:
    user = account.user(call.user_id, call.code)
    return {
        "external_id": call.external_id,
        "date": call.date.isoformat(),
        "kind": call.kind,
        "phone": call.phone,
        "customer": account.customer_name(call.phone),
        "user": None if user is None else _user(account, user),
        "code": call.code,
        "user_id": call.user_id,
        "line": call.external_phone,
        "result": call.result,
        "waited": call.duration_waiting,
        "talked": call.duration,
        "record_url": call.record_url,
        "site": call.site,
        "received_at": call.received_at.isoformat(),
    }


def _customer(customer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": customer["id"],
        "external_id": customer.get("externalId"),
        "name": full_name(customer),
        "phones": [item["number"] for item in customer["phones"]],
    }


def _task(account: CrmAccount, task: Mapping[str, Any]) -> dict[str, Any]:
    user = account.users.get(task["performer"])
    return {
        "id": task["id"],
        "text": task["text"],
        "until": task.get("datetime"),
        "complete": task["complete"],
        "user": None if user is None else user.name,
    }


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "at": notice.at.isoformat(),
        "kind": notice.kind,
        "message": notice.message,
        "users": notice.users,
        "groups": notice.groups,
    }


def _request(seen: SeenRequest) -> dict[str, Any]:
    return {
        "at": seen.at.isoformat(),
        "method": seen.method,
        "path": seen.path,
        "account": seen.account,
        "excerpt": seen.excerpt,
        "status": seen.status,
        "complaint": seen.complaint,
    }


def _clock(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _millis(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
