"""A form somebody sent us, read strictly: small, in UTF-8, with few fields."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

FORM_TYPE = "application/x-www-form-urlencoded"

MOST_FIELDS = 50


async def read_form(request: web.Request) -> Mapping[str, str] | None:
    """Its fields, None when that is no form; of a field given twice the last counts, as in PHP.

    Raises HTTPRequestEntityTooLarge, which our middleware answers.
    """
    body = await request.read()
    if request.content_type != FORM_TYPE:
        return None
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    return dict(fields)
