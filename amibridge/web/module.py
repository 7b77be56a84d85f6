"""What RetailCRM tells our module: it was switched off, the account's settings or an operator's status changed.

Laws: whoever does not know both the secret in the path and the client id learns neither which was wrong nor whether
there is such an enterprise; what was told is answered with success only when it is written; no secret is logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import resources
from typing import TypeAlias

import asyncpg
import structlog
from aiohttp import web

from amibridge.enterprises import Enterprise, EnterpriseId
from amibridge.retailcrm.callbacks import Activity, UserStatusChange, move
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.modules import tell_module
from amibridge.store.operator_statuses import StoredStatus
from amibridge.web.access import Gate
from amibridge.web.answers import Handler, refusal
from amibridge.web.forms import read_form
from amibridge.web.knocks import Knocks
from amibridge.web.tenants import Tenants

log = structlog.get_logger()

PATIENCE = timedelta(seconds=4)
"""With the database; how long RetailCRM waits for us is not known."""

AGAIN = {"Retry-After": "5"}
"""Seconds."""

HEADERS = {
    "Cache-Control": "public, max-age=86400",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
}

Form: TypeAlias = Mapping[str, str]
KeepStatus: TypeAlias = Callable[[StoredStatus, timedelta], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ModuleRoutes:
    """*zone_changed* is told whose account has other settings now. *keep_status*: as `Desks.tell_status`."""

    pool: asyncpg.Pool
    gate: Gate
    tenants: Tenants
    zone_changed: Callable[[EnterpriseId], None]
    keep_status: KeepStatus
    strangers: Knocks = field(default_factory=lambda: Knocks("crm_callback_refused"))

    def add_to(self, router: web.UrlDispatcher) -> None:
        page, logo = _shown("account.html", "text/html"), _shown("logo.svg", "image/svg+xml")
        router.add_get("/retailcrm/logo.svg", logo)
        router.add_get("/retailcrm", page)
        router.add_post("/retailcrm", page)
        router.add_post("/retailcrm/{secret}/activity", self._told("activity", self._activity))
        router.add_post("/retailcrm/{secret}/settings", self._told("settings", self._settings))
        for add in (router.add_post, partial(router.add_get, allow_head=False)):
            # Known of its clients is that they send GET; a form says the same.
            add("/retailcrm/{secret}/status", self._told("status", self._status))

    def _told(self, word: str, told: Callable[[Enterprise, Form], Awaitable[web.Response]]) -> Handler:
        async def respond(request: web.Request) -> web.StreamResponse:
            form = dict(request.query.items()) if request.method == "GET" else await read_form(request)
            enterprise = self._whose(request.match_info["secret"], form or {})
            if enterprise is None:
                self.strangers.note(request)
                return refusal(400, "unknown_account", "No account of ours is known by that.")
            assert form is not None
            caller = self.gate.known(request, enterprise, "retailcrm")
            answer = await told(enterprise, form)
            caller.did(f"module.{word}", "", "done" if answer.status == 200 else f"refused with {answer.status}")
            return answer

        return respond

    def _whose(self, secret: str, form: Form) -> Enterprise | None:
        of_secret, of_client = self.tenants.of_secret(secret), self.tenants.of_client_id(form.get("clientId", ""))
        return of_secret if of_secret is of_client else None

    async def _activity(self, enterprise: Enterprise, form: Form) -> web.Response:
        try:
            said = Activity.of(form)
        except ValueError as error:
            log.warning("crm_callback_not_understood", enterprise=enterprise.id, reason=str(error))
            return refusal(400, "bad_request", "This is not what an activity looks like.")
        moved = move(said.system_url, enterprise)
        try:
            known = await tell_module(
                self.pool,
                enterprise.id,
                active=said.active,
                frozen=said.frozen,
                at=datetime.now(UTC),
                moved_to=moved.to,
                unheeded=moved.unheeded,
                within=PATIENCE,
            )
        except DATABASE_FAILURES as error:
            log.warning("crm_callback_not_kept", enterprise=enterprise.id, reason=str(error) or "no answer")
            return refusal(503, "database_away", "This cannot be kept at the moment.", AGAIN)
        if not known:
            return refusal(400, "unknown_account", "No account of ours is known by that.")
        log.info("crm_tells_activity", enterprise=enterprise.id, active=said.active, frozen=said.frozen)
        if moved.to is not None:
            now = moved.to or enterprise.module.moved_from
            log.warning("crm_account_moved", enterprise=enterprise.id, before=enterprise.account.url, now=now)
        elif moved.unheeded:
            log.error(
                "crm_account_move_not_followed",
                enterprise=enterprise.id,
                named=moved.unheeded,
                advice="if the account is there now, name it in `url` of the enterprise's file and apply it",
            )
        return web.json_response({"success": True})

    async def _settings(self, enterprise: Enterprise, form: Form) -> web.Response:
        """Which settings is not read here: what was told unsigned is only a hint, and the account is asked."""
        log.info("crm_tells_new_settings", enterprise=enterprise.id)
        self.zone_changed(enterprise.id)
        return web.json_response({"success": True})

    async def _status(self, enterprise: Enterprise, form: Form) -> web.Response:
        try:
            said = UserStatusChange.of(form)
        except ValueError as error:
            log.warning("crm_callback_not_understood", enterprise=enterprise.id, reason=str(error))
            return refusal(400, "bad_request", f"This is not how a user's status is told: {error}.")
        told = StoredStatus(enterprise.id, said.user, said.code, said.status, datetime.now(UTC))
        try:
            known = await self.keep_status(told, PATIENCE)
        except DATABASE_FAILURES as error:
            log.warning("crm_callback_not_kept", enterprise=enterprise.id, reason=str(error) or "no answer")
            return refusal(503, "database_away", "This cannot be kept at the moment.", AGAIN)
        if not known:
            return refusal(400, "unknown_account", "No account of ours is known by that.")
        log.info("crm_tells_status", enterprise=enterprise.id, user=said.user, status=said.status)
        return web.json_response({"success": True})


def _shown(name: str, kind: str) -> Handler:
    text = (resources.files("amibridge.web") / name).read_text("utf-8")

    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8", headers=HEADERS)

    return respond
