"""The one shape of an error, and what every answer carries."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = "X-Request-ID"
ID = web.RequestKey("request_id", str)
"""Under which a request holds its own."""


NO_SUCH_ADDRESS = "There is no such address: docs/api.md and /docs say which there are."
SENTENCES: Mapping[int, str] = {
    404: NO_SUCH_ADDRESS,
    405: "This address is not asked in that way; the header Allow names the ways.",
}
"""Where aiohttp's own word leaves people where they were."""


class Refused(Exception):
    """Raised wherever a request is looked at, to be answered as `refusal` has it. Programs compare *error*."""

    def __init__(self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail, self.headers = status, error, detail, headers


def refusal(status: int, error: str, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """*error*: a code that programs may compare; *detail*: a sentence for people."""
    return web.json_response({"success": False, "error": error, "detail": detail}, status=status, headers=headers)


def refusal_of(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusal in our shape."""
    kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Connection")}
    sentence = SENTENCES.get(error.status, f"{error.reason}.")
    return refusal(error.status, error.reason.lower().replace(" ", "_"), sentence, kept)


def new_request_id() -> str:
    """Not to be told apart from others by chance; nobody has to be unable to guess it."""
    return f"{random.getrandbits(64):016x}"


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each request gets an id: every answer carries it, and every line it caused in the log."""
    request_id = request[ID] = new_request_id()
    with structlog.contextvars.bound_contextvars(request=request_id):
        response = await _answer(request, handler)
    if not response.prepared:
        response.headers[REQUEST_ID] = request_id
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return refusal(refused.status, refused.error, refused.detail, refused.headers)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return refusal_of(error)
    except Exception as error:
        # The path may hold a token: only what kind of thing was asked for is said.
        log.error("request_failed", method=request.method, resource=_resource(request), exc_info=error)
        return refusal(500, "internal_error", "Something went wrong here; the log knows more.")


def _resource(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
