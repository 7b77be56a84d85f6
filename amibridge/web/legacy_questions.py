"""How the older service was asked and refused, to which people's bookmarks and other software hold on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from amibridge.enterprises import Scope
from amibridge.web.access import Caller, Gate
from amibridge.web.answers import Refused

UNCACHED = {"Cache-Control": "no-store"}


class TurnedAway(Exception):
    """Parameters are missing or empty, or whoever asks may not. *answer* says so."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def given(request: web.Request, *names: str) -> list[str]:
    """The parameters of these *names*, without blanks around them. Raises TurnedAway."""
    asked = {name: last(request, name) for name in names}
    missing = [name for name, value in asked.items() if value is None]
    if missing:
        raise TurnedAway(legacy_refusal(422, [_missing(name) for name in missing]))
    values = [value.strip() for value in asked.values() if value is not None]
    if not all(values):
        *others, one = names
        raise TurnedAway(legacy_refusal(400, f"{', '.join(others)} and {one} must not be empty".removeprefix(" and ")))
    return values


def admitted(gate: Gate, request: web.Request, scope: Scope, client: str) -> Caller:
    """Whose `clientId` (or token) *client* is, if it is good for *scope*. Raises TurnedAway."""
    try:
        return gate.admit(request, scope, client)
    except Refused as refused:
        if refused.status == 401:
            raise TurnedAway(legacy_refusal(401, "Invalid clientId")) from None
        answer = legacy_refusal(refused.status, refused.detail, refused.headers, error=refused.error)
        raise TurnedAway(answer) from None


def last(request: web.Request, name: str) -> str | None:
    """Of a parameter given twice the last counts."""
    values = request.query.getall(name, [])
    return values[-1] if values else None


def looks_ahead(request: web.Request) -> bool:
    """Whether a browser fetches what nobody has clicked yet."""
    return "prefetch" in (request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", ""))


def legacy_refusal(
    status: int, detail: str | list[dict[str, Any]], headers: Mapping[str, str] | None = None, **more: str
) -> web.Response:
    """An error as FastAPI writes it, which callers were made for."""
    return web.json_response({"detail": detail, **more}, status=status, headers={**UNCACHED, **(headers or {})})


def _missing(name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ["query", name], "msg": "Field required", "input": None}
