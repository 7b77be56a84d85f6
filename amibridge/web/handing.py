"""How transfers, parking and fetching are answered over HTTP: the same refusals, failures and lines of the audit.

Laws: a browser that looks ahead asks for nothing; neither a secret nor what was refused is logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from aiohttp import web

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.record import CallId
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.enterprises import Enterprise
from amibridge.web.access import Caller
from amibridge.web.knocks import Knocks
from amibridge.web.legacy_questions import UNCACHED, legacy_refusal, looks_ahead

STATUSES = {
    Why.NO_CALL: 404,
    Why.NOT_RINGING: 404,
    Why.NOT_PARKED: 404,
    Why.SEVERAL: 409,
    Why.CONSULTING: 409,
    Why.NOT_CONSULTING: 409,
    Why.BUSY: 409,
    Why.NOT_TWO: 409,
    Why.GONE: 409,
    Why.NOT_TAKEN: 409,
    Why.TO_HIMSELF: 400,
    Why.NOT_KEYS: 400,
    Why.NO_TIMEOUT: 400,
    Why.NO_SPACE: 400,
    Why.ONE_PLACE: 400,
}

Answer = TypeVar("Answer")


class OfACall(Protocol):
    @property
    def call(self) -> CallId: ...

    @property
    def host(self) -> str: ...

    @property
    def took(self) -> timedelta: ...


def suspicious() -> Knocks:
    return Knocks("call_request_suspicious")


@dataclass(frozen=True, slots=True)
class Asking:
    """*action*: its name in the audit. *failure*: how a failure is said."""

    request: web.Request
    caller: Caller
    action: str
    failure: str

    async def hears_of(self, do: Callable[[], Awaitable[Answer]], suspects: Knocks) -> Answer | web.Response:
        """What *do* came to, or the answer that says why not."""
        caller = self.caller
        if looks_ahead(self.request):
            return legacy_refusal(400, "A browser only looks ahead here.", error=Unasked.PREFETCH)
        try:
            return await do()
        except ClickRefused as refused:
            caller.did(self.action, "", refused.why)
            if refused.smells:
                suspects.note(self.request, enterprise=caller.enterprise.id, way=self.action, reason=refused.why)
            return legacy_refusal(400, str(refused), error=refused.why)
        except TransferRefused as refused:
            caller.did(self.action, "", refused.why)
            return legacy_refusal(STATUSES[refused.why], str(refused), error=refused.why)
        except TransferFailed as failed:
            caller.did(self.action, "", "failed")
            return legacy_refusal(500, f"{self.failure}: {failed}")


def described(enterprise: Enterprise, message: str, what: Mapping[str, Any], done: OfACall) -> web.Response:
    body = {
        "success": True,
        "message": message,
        **what,
        "enterprise": enterprise.name,
        "enterprise_number": enterprise.id,
        "host_ip": done.host,
        "response_time_ms": round(done.took.total_seconds() * 1000, 1),
        "call": done.call,
    }
    return web.json_response(body, headers=UNCACHED)
