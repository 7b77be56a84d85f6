"""One endpoint: a function with the models of what it is asked and what it answers; the handler is made of them.

A stream of events is answered as one whose model is that of each event.

Laws: who asks is known before anything is read; a parameter that is unknown, given twice or of another form is refused,
and its value never repeated; every answer leaves a row in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from amibridge.enterprises import Scope
from amibridge.store.db import DATABASE_FAILURES
from amibridge.web.access import Caller, Gate
from amibridge.web.answers import Handler, Refused

log = structlog.get_logger()

AskOf = TypeVar("AskOf", bound="Ask")

Respond: TypeAlias = Callable[[Caller, AskOf], Awaitable[dict[str, Any] | str | web.StreamResponse]]
"""What is answered: as an object, as its JSON already, or in a way of its own."""

JSON, EVENTS = "application/json", "text/event-stream"

UNCACHED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Ask(BaseModel):
    """The parameters of a path and of its query, as text; *headers* are those that stand there."""

    headers: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def told(self) -> str:
        """What was asked for, for the audit."""
        given = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return " ".join(f"{name}={value}" for name, value in given.items())


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[AskOf]):
    """*path* as aiohttp and OpenAPI have it, ``{name}`` for parameters. *action*: its word in the audit."""

    path: str
    scope: Scope
    action: str
    summary: str
    description: str
    ask: type[AskOf]
    answer: type[BaseModel]
    respond: Respond[AskOf]
    media: str = JSON

    @property
    def seeks_one(self) -> bool:
        """Whether what is named may not be there: 404."""
        return "{" in self.path or self.media == EVENTS

    def handler(self, gate: Gate) -> Handler:
        async def respond(request: web.Request) -> web.StreamResponse:
            caller = gate.admit(request, self.scope)
            target, outcome = "", "internal_error"
            try:
                ask = _read(self.ask, request)
                target = ask.told()
                answer = await self.respond(caller, ask)
                outcome = "done"
            except Refused as refused:
                outcome = refused.error
                raise
            except DATABASE_FAILURES as error:
                outcome = "database_away"
                log.warning("api_not_answered", action=self.action, reason=str(error) or type(error).__name__)
                raise Refused(503, outcome, "This cannot be looked up now.", {"Retry-After": "5"}) from error
            finally:
                caller.did(self.action, target, outcome)
            if isinstance(answer, web.StreamResponse):
                return answer
            text = answer if isinstance(answer, str) else json.dumps(answer)
            return web.json_response(text=text, headers=UNCACHED)

        return respond


def endpoint(
    path: str, scope: Scope, action: str, ask: type[AskOf], answer: type[BaseModel], media: str = JSON
) -> Callable[[Respond[AskOf]], Endpoint[AskOf]]:
    """The docstring of the function is what people read of it: a sentence, and whatever else there is to say."""

    def made(respond: Respond[AskOf]) -> Endpoint[AskOf]:
        summary, _, more = (respond.__doc__ or "").partition("\n")
        return Endpoint(path, scope, action, summary, " ".join(more.split()), ask, answer, respond, media)

    return made


def _read(model: type[AskOf], request: web.Request) -> AskOf:
    given: dict[str, str] = dict(request.match_info)
    for name, value in _said(model, request):
        if name in given:
            raise Refused(400, "bad_parameter", "A parameter is given twice.")
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise Refused(400, "bad_parameter", "; ".join(_in_words(fault, model) for fault in faults[:5]) + ".") from None


def _said(model: type[Ask], request: web.Request) -> Iterator[tuple[str, str]]:
    for name, value in request.query.items():
        yield f"?{name}" if name in model.headers else name, value  # which is no parameter's name
    for name in model.headers:
        yield from ((name, value) for value in request.headers.getall(name, ()))


def _in_words(fault: Any, model: type[Ask]) -> str:
    if fault["type"] == "extra_forbidden":
        names = (field.alias or name for name, field in model.model_fields.items())
        return f"there are no parameters but {', '.join(name for name in names if name not in model.headers)}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{fault['loc'][0]} {message[:1].lower()}{message[1:]}"
