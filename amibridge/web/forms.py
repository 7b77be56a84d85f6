"""A form somebody sent us, read strictly: small, in UTF-8, with few fields."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

from aiohttp import web

FORM_TYPE = "application/x-www-form-urlencoded"

MOST_FIELDS = 50

BODY_WITHIN = timedelta(seconds=10)
"""Whoever takes longer for a form only holds a connection, of which there are not so many."""


async def read_form(request: web.Request) -> Mapping[str, str] | None:
    """Its fields, None when that is no form; of a field given twice the last counts, as in PHP.

    Raises HTTPRequestEntityTooLarge and HTTPRequestTimeout, which our middleware answers.
    """
    try:
        async with asyncio.timeout(BODY_WITHIN.total_seconds()):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(headers={"Connection": "close"}) from None
    if request.content_type != FORM_TYPE:
        return None
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    return dict(fields)
