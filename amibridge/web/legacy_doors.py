"""What the older service answered to anybody: two routes that say that it lives, and RetailCRM's old callbacks.

Law: the callbacks are shut. A number of four digits was all that guarded them, so whoever counted could make phones
ring; a module that still asks there has to be registered anew, which its administrator hears.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from amibridge.web.answers import refusal
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import UNCACHED, last
from amibridge.web.tenants import Tenants


async def tell_alive(request: web.Request) -> web.Response:
    """To watchers of the older service: nothing that they must not know."""
    return web.json_response({"status": "ok"}, headers=UNCACHED)


@dataclass(frozen=True, slots=True)
class ShutDoors:
    """*outdated*: by the enterprise whose module asks, so that a line names each."""

    tenants: Tenants
    outdated: dict[str, Knocks] = field(default_factory=dict)

    def add_to(self, router: web.UrlDispatcher) -> None:
        for path in ("/retailcrm/make-call", "/retailcrm/status"):
            router.add_route("*", path, self._gone)

    async def _gone(self, request: web.Request) -> web.Response:
        client = (last(request, "clientId") or "").strip()
        enterprise = self.tenants.of_number(client) or self.tenants.of_client_id(client)
        number = "" if enterprise is None else enterprise.id
        knocks = self.outdated.setdefault(number, Knocks("legacy_module_asks"))
        words = {"enterprise": number} if number else {}
        knocks.note(request, advice=f"amibridge retailcrm register {number or 'NUMBER'}", **words)
        return refusal(
            410,
            "module_outdated",
            "Nothing protected this address, so it is shut. Register the module again, which then has another: "
            "amibridge retailcrm register, with the number of the enterprise.",
        )
