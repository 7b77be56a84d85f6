"""A look, done; and somebody who answers questions over HTTP as he is told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from amibridge.doctor.findings import Finding, Level


async def all_of(look: AsyncGenerator[Finding]) -> list[Finding]:
    return [finding async for finding in look]


def by_about(findings: Iterable[Finding]) -> dict[str, Level]:
    """What was looked at → the worst that was found there."""
    worst: dict[str, Level] = {}
    order = list(Level)
    for finding in findings:
        worst[finding.about] = max(worst.get(finding.about, Level.OK), finding.level, key=order.index)
    return worst


def unwell(findings: Iterable[Finding]) -> list[tuple[Level, str, str]]:
    """(level, about, what was found) of all that is not well; each says what to do."""
    found = [finding for finding in findings if finding.level is not Level.OK]
    assert all(finding.advice for finding in found)
    return [(finding.level, finding.about, finding.found) for finding in found]


class Told:
    """*answers*: path → (status, body, headers). What is not among them is 404."""

    def __init__(self, answers: Mapping[str, tuple[int, Any] | tuple[int, Any, Mapping[str, str]]]) -> None:
        self.answers = dict(answers)

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """At the address it yields."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        status, body, *headers = self.answers.get(request.path, (404, {"success": False, "errorMsg": "Not found"}))
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers[0] if headers else None)
        return web.json_response(body, status=status, headers=headers[0] if headers else None)
