"""docs/api.md has an example for each route, and each is one to copy: given to a shell beside the running bridge, it is
answered, and the answer has what the page shows of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.web.app import make_app
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.house.source import ROOT
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_straight_line import KEY, account, pbx_of
from tests.web.serving import idle_services

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BRIDGE, CLIENT, CALL = "https://bridge.example.com", "d0c5-0123", "pbx1:1795491044.6"
EVENT = "48212"
DAYS: Mapping[str, int] = {"=2026-11-01'": -1, "=2026-11-30'": 1}

TALKS_WITH_NOBODY = {
    "/api/transfer": ("no_call",),
    "/api/monitor": ("no_call",),
    "/api/park": ("no_call",),
    "/api/pickup": ("not_ringing", "not_parked"),
}
"""They want a conversation, which tests/real has: here they are understood, and told that there is none."""

CURL = r"""
curl() {
    case "$*" in (*/api/v1/events*) patience=2 ;; (*) patience=30 ;; esac
    command curl -sS --max-time $patience -w '\nANSWER %{http_code} %{method} %{url_effective}\n' "$@" ||
        test "$? $patience" = '28 2'
}
"""
"""Who listens to events hears no end of them: he leaves."""


@dataclass(frozen=True)
class Answered:
    method: str
    path: str
    status: int
    body: str


@dataclass
class Reader:
    """Copies from the page, with *own* names in place of the page's, in *folder*."""

    folder: Path
    own: Mapping[str, str]
    exported: str = CURL

    async def copies(self, block: str) -> list[Answered]:
        every = "|".join(map(re.escape, self.own))  # at once: a day that stands for another may be one of the page's
        block = re.sub(every, lambda said: self.own[said[0]], block)
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euc", self.exported + block), cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = (text.decode() for text in await shell.communicate())
        assert shell.returncode == 0, f"{block}\n{out}\n{err}"
        self.exported += "".join(line + "\n" for line in block.splitlines() if re.match("[A-Z_]+=", line))
        return list(answers(out))


def answers(out: str) -> Iterator[Answered]:
    begun = 0
    for found in re.finditer(r"^ANSWER (\d+) (\w+) https?://[^/]+([^\s?]*)\S*$", out, re.MULTILINE):
        yield Answered(found[2], found[3], int(found[1]), out[begun : found.start()])
        begun = found.end()


def examples() -> Iterator[tuple[str, str]]:
    """What a shell is given, and the answer that the page shows of it, if it does."""
    for (kind, block), (next_kind, shown) in pairwise([*BLOCKS, ("", "")]):
        if kind == "sh" and not re.match("amibridge|TOKEN", block):
            yield block, shown if next_kind == "json" else ""


def keys(shown: str) -> set[str]:
    return set(re.findall(r'"(\w+)":', shown))


def answered_keys(body: Any) -> set[str]:
    if isinstance(body, dict):
        return set(body) | answered_keys(list(body.values()))
    return set().union(*map(answered_keys, body)) if isinstance(body, list) else set()


def routes(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def route_of(answer: Answered, known: set[tuple[str, str]]) -> tuple[str, str]:
    def fits(route: tuple[str, str]) -> bool:
        method, path = route
        parts = ["[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", path)]
        return method == answer.method.replace("HEAD", "GET") and re.fullmatch("".join(parts), answer.path) is not None

    return max(filter(fits, known), key=lambda route: -route[1].count("{"))


def told_of(answered: Sequence[Answered], shown: str) -> None:
    assert keys(shown) <= answered_keys([json.loads(one.body) for one in answered if one.status == 200]), shown


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here to copy commands for")
async def test_each_route_has_an_example_and_each_example_is_answered(bridge: Bridge, pool: asyncpg.Pool) -> None:
    (monitor := bridge.folder / "monitor").mkdir()
    (bridge.folder / "enterprises").mkdir()
    [trace] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", "h_ringgroup_102_answers")]
    crm = SandboxCrm([account()])
    theirs, pbx = crm.account(KEY), pbx_of([trace], speed=20, shift=True, monitor_dir=monitor)
    own = {BRIDGE: bridge.url}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        host = await stack.enter_async_context(pbx.serve())
        await bridge.start()
        text = enterprise_file(
            "0123", crm_url=url, api_key=KEY, hosts={"pbx1": host}, operators={"101": 27, "102": 31},
            time_zone="Europe/Minsk", recordings=str(monitor), more=[f'client_id = "{CLIENT}"'],
        ).replace("[retailcrm]\n", '[retailcrm]\nwebhook_secret = "a-secret-of-the-crm"\n')  # fmt: skip
        (bridge.folder / "enterprises" / "0123.toml").write_text(text, "utf-8")
        await bridge.apply(text)
        await until(lambda: theirs.calls)
        [call] = theirs.calls
        assert call.record_url is not None
        own |= {CALL: call.external_id, EVENT: "1", "status=parked": "status=sent"}
        own |= {said: f"={date.today() + timedelta(days=away)}'" for said, away in DAYS.items()}
        scopes = [word for scope in ("read", "recordings", "supervise") for word in ("--scope", scope)]
        code, out, err = await bridge.command("token", "add", "--config", str(bridge.config), "0123", *scopes)
        assert code == 0, err
        reader = Reader(bridge.folder, own)
        reader.exported += f"TOKEN={json.loads(out)['token']}\nRECORD_URL={call.record_url}\n"
        ask = f'curl -f -H "Authorization: Bearer $TOKEN" "{bridge.url}/api/v1/calls'
        await reader.copies(f'until {ask}"; do :; done\n')
        over = f"""until {ask}?live=true" | grep '"calls": \\[\\]'; do sleep 0.1; done\n"""

        known = {route for route in routes(make_app(idle_services(pool))) if route[0] != "*"}  # those are shut
        seen = set()
        for block, shown in examples():
            if any(path in block for path in TALKS_WITH_NOBODY):
                await reader.copies(over)
            answered = await reader.copies(block)
            for one in answered:
                seen.add(route_of(one, known))
                if one.path in TALKS_WITH_NOBODY:
                    assert one.status == 404, f"{block}\n{one}"
                    assert json.loads(one.body)["error"] in TALKS_WITH_NOBODY[one.path], f"{block}\n{one}"
                else:
                    assert one.status in (200, 206), f"{block}\n{one}"
            if shown and not {one.path for one in answered} & set(TALKS_WITH_NOBODY):
                told_of(answered, shown)
    assert known - seen == set()
    table, _, _ = PAGE.partition("\n## ")
    assert {path for _, path in known if f"{path}`" not in table and not path.startswith("/retailcrm")} == set()
