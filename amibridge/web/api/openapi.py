"""The OpenAPI 3.1 document of endpoints, made of the models that validate; and a page of it for people, no scripts.

Both are public: they say nothing of any enterprise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from amibridge import __version__
from amibridge.web.answers import Handler
from amibridge.web.api.endpoint import EVENTS, JSON, Endpoint
from amibridge.web.api.shapes import Error

REFUSALS: Mapping[int, str] = {
    400: "A parameter is unknown, given twice, or of another form.",
    401: "No token, or one that is unknown or has expired.",
    403: "The token lacks the scope.",
    404: "There is no such call; of events: none that is so new.",
    429: "Too many requests, or streams; `Retry-After` says for how many seconds to wait.",
    503: "The database is away, or the bridge has just begun; `Retry-After` says when to ask again.",
}

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

LINKS = {
    action: {"call": {"operationId": "calls_show", "parameters": {"id": f"$response.body#/{first}/call_id"}}}
    for action, first in {"calls.list": "calls/0", "deliveries.list": "deliveries/0"}.items()
}
"""From a list to the first call of it."""

REQUEST_ID = {"X-Request-ID": {"description": "The id of this request in our log.", "schema": {"type": "string"}}}


def document_of(endpoints: Sequence[Endpoint[Any]]) -> dict[str, Any]:
    shapes: list[type[BaseModel]] = list(dict.fromkeys([*(one.answer for one in endpoints), Error]))
    _, made = models_json_schema(
        [(shape, "serialization") for shape in shapes], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "amibridge",
            "version": __version__,
            "description": "What other software may read of one enterprise: its calls, live ones too, events as they "
            "happen, recordings, and what the CRM and webhooks were told. What it may do, such as calling and "
            "transferring, stands in docs/api.md.",
        },
        "paths": {one.path: {"get": _operation(one)} for one in endpoints},
        "components": {
            "schemas": made["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def serve_document(endpoints: Sequence[Endpoint[Any]]) -> Handler:
    document = document_of(endpoints)

    async def respond(request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return respond


def serve_page(endpoints: Sequence[Endpoint[Any]]) -> Handler:
    templates = Environment(loader=PackageLoader("amibridge.web.api", ""), autoescape=True, trim_blocks=True)
    page = templates.get_template("page.html").render(document=document_of(endpoints), version=__version__)

    async def respond(request: web.Request) -> web.StreamResponse:
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=PAGE_HEADERS)

    return respond


def _operation(one: Endpoint[Any]) -> dict[str, Any]:
    refusals = {status: words for status, words in REFUSALS.items() if status != 404 or one.seeks_one}
    links = {"links": LINKS[one.action]} if one.action in LINKS else {}
    return {
        "operationId": one.action.replace(".", "_"),
        "summary": one.summary,
        "description": f"{one.description} Needs the scope `{one.scope}`.".strip(),
        "security": [{"token": []}],
        "parameters": _parameters(one),
        "responses": {
            "200": _response("As asked.", one.answer, one.media) | links,
            **{str(status): _response(words, Error) for status, words in refusals.items()},
        },
    }


def _response(words: str, shape: type[BaseModel], media: str = JSON) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{shape.__name__}"}
    content = {media: {"schema": _each_event(schema) if media == EVENTS else schema}}
    return {"description": words, "headers": REQUEST_ID, "content": content}


def _each_event(shape: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.1 does not say what a schema means there; whoever reads it takes it for that of each event."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": shape},
        },
        "required": ["id", "event", "data"],
    }


def _parameters(one: Endpoint[Any]) -> list[dict[str, Any]]:
    schema = one.ask.model_json_schema()
    in_path = set(re.findall(r"{(\w+)}", one.path))
    return [
        {
            "name": name,
            "in": "path" if name in in_path else "header" if name in one.ask.headers else "query",
            "required": name in in_path,
            **({"description": words} if (words := said.get("description")) else {}),
            "schema": (plain := _plain(said, schema.get("$defs", {}))),
            **({"style": "form", "explode": False} if plain["type"] == "array" else {}),
        }
        for name, said in schema["properties"].items()
    ]


def _plain(said: dict[str, Any], defined: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that is left out rather than null, with nothing referred to."""
    kinds = [kind for kind in said.get("anyOf", [said]) if kind.get("type") != "null"]
    [kind] = kinds
    kind = dict(defined[kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind)
    if said.get("default") is not None:
        kind["default"] = said["default"]
    return {key: value for key, value in kind.items() if key not in ("title", "description")}
