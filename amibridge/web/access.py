"""Who may: one line at the beginning of a route, and one where it is done.

    caller = gate.admit(request, Scope.CALL)                  # or raises Refused, which is answered by itself
    caller.did("call", "101 to +375…", "placed")              # the row of the audit; waits for nothing

Laws: a credential is compared by its digest, and is never logged; whoever guesses is slowed down before anything is
compared; what is known is refused with an audit row, what is not with a count in the log; nothing is done that cannot
be written down. docs/adr/0028.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import hdrs, web

from amibridge.enterprises import ApiToken, Enterprise, Scope
from amibridge.limits import GUESSES, Guesses, Limit
from amibridge.neighbours import neighbourhood
from amibridge.store.audit import AuditRow, AuditTrail
from amibridge.web.answers import ID, Refused
from amibridge.web.knocks import Knocks
from amibridge.web.tenants import Tenants
from amibridge.web.visitors import address

OF_CLIENT_ID = frozenset({Scope.CALL})
"""It stands in bookmarks, and RetailCRM has it: whoever reads or hears needs a token. So does who listens in, unless
the enterprise has said whose phones may."""

CLIENT_ID = "client_id"

OF_ADDRESS, OF_CREDENTIAL = (200.0, 400), (50.0, 100)
"""A second, and at once. Other software asks for all enterprises from one place."""

BEARER: Mapping[str, str] = {hdrs.WWW_AUTHENTICATE: "Bearer"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may. *who*: ``token 3`` or ``client_id``."""

    enterprise: Enterprise
    who: str
    address: str
    request: str
    trail: AuditTrail

    def did(self, action: str, target: str, outcome: str) -> None:
        """For the audit: what was done, on what, and how it ended."""
        row = AuditRow(
            self.enterprise.id, datetime.now(UTC), self.who, self.address, action, target, outcome, self.request
        )
        self.trail.note(row)


class Gate:
    def __init__(self, tenants: Tenants, trail: AuditTrail) -> None:
        self._tenants = tenants
        self._trail = trail
        self._strangers = Knocks("api_request_refused")
        self._hasty = Knocks("api_request_limited")
        self._addresses, self._guesses, self._credentials = (
            Limit(*pace) for pace in (OF_ADDRESS, GUESSES, OF_CREDENTIAL)
        )
        self._clients = Guesses()

    def admit(self, request: web.Request, scope: Scope, presented: str | None = None) -> Caller:
        """Who asks, if what he presents (*presented*, else his bearer token) lets him. Raises Refused."""
        visitor, now = neighbourhood(address(request)), asyncio.get_running_loop().time()
        self._slow_down(request, self._addresses.take(visitor, now) or self._guesses.wait(visitor, now))
        presented = _bearer(request) if presented is None else presented
        if not presented:
            raise Refused(401, "unauthorized", "A token is needed, as Authorization: Bearer and the token.", BEARER)
        found = self._found(presented)
        if found is None and not self._tenants.are_known:
            # Who comes again after our restart must not hear that his token is nobody's: some never come again then.
            raise Refused(503, "starting", "The bridge has just begun and knows nobody yet.", {hdrs.RETRY_AFTER: "1"})
        if found is None:
            self._guesses.take(visitor, now)
            self._strangers.note(request)
            raise Refused(401, "unknown_token", "No token of ours is known by that.", BEARER)
        enterprise, who, scopes, expires_at = found
        self._slow_down(request, self._credentials.take((enterprise.id, who), now))
        caller = self.known(request, enterprise, who)
        if _is_over(expires_at):
            caller.did(scope, _resource(request), "token_expired")
            raise Refused(401, "token_expired", "This token has expired.", BEARER)
        if scope not in scopes:
            caller.did(scope, _resource(request), "wrong_scope")
            made = f"amibridge token add {enterprise.id} --scope {scope}"
            raise Refused(403, "wrong_scope", f"This needs a token with the scope {scope}, as {made} makes one.")
        return caller

    def whose_client_id(self, request: web.Request, presented: str) -> Enterprise | None:
        """For a route that is asked with nothing else, so often that only guesses are counted. Raises Refused."""
        visitor, now = neighbourhood(address(request)), asyncio.get_running_loop().time()
        self._slow_down(request, self._clients.wait(visitor, now))
        found = self._tenants.of_client_id(presented)
        if found is None and self._tenants.are_known:
            self._clients.note(visitor, presented, now)
        return found

    def would_admit(self, caller: Caller, scope: Scope) -> bool:
        """Whether somebody with a token, who was let in before, would be now."""
        enterprise = self._tenants.of_number(caller.enterprise.id)
        if enterprise is None:
            return False
        token = next((one for one in enterprise.tokens if _name(one) == caller.who), None)
        return token is not None and scope in token.scopes and not _is_over(token.expires_at)

    def known(self, request: web.Request, enterprise: Enterprise, who: str) -> Caller:
        """Whom a route has recognised by itself. Raises Refused while nothing can be written down."""
        if not self._trail.has_room:
            raise Refused(503, "audit_unavailable", "What is done cannot be written down now.", {"Retry-After": "5"})
        return Caller(enterprise, who, address(request), request.get(ID, ""), self._trail)

    def _found(self, presented: str) -> tuple[Enterprise, str, frozenset[Scope], datetime | None] | None:
        if (of_token := self._tenants.of_token(presented)) is not None:
            enterprise, token = of_token
            return enterprise, _name(token), token.scopes, token.expires_at
        if (of_client := self._tenants.of_client_id(presented)) is not None:
            supervises = {Scope.SUPERVISE} if of_client.supervisors else frozenset[Scope]()
            return of_client, CLIENT_ID, OF_CLIENT_ID | supervises, None
        return None

    def _slow_down(self, request: web.Request, wait: float) -> None:
        if wait > 0:
            self._hasty.note(request)
            raise Refused(429, "too_many_requests", "Too many requests; wait a little.", _again(wait))


def _name(token: ApiToken) -> str:
    return f"token {token.id}"


def _is_over(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= datetime.now(UTC)


def _again(wait: float) -> Mapping[str, str]:
    return {hdrs.RETRY_AFTER: str(max(1, math.ceil(wait)))}


def _bearer(request: web.Request) -> str:
    scheme, _, presented = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""


def _resource(request: web.Request) -> str:
    """The kind of thing that is asked for: the path itself may hold a secret."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
