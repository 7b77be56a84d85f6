"""Whatever stands in a parameter of a route: a refusal in words, nothing of it for the PBX, and the bridge goes on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
from yarl import URL

from amibridge.sandbox.retailcrm import SandboxCrm
from amibridge.web.app import make_app
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_api_examples import routes
from tests.system.test_straight_line import KEY, account, pbx_of
from tests.web.serving import idle_services

CLIENT, SECRET = "client-of-0123", "a-secret-of-the-crm"

HOSTILE = (
    "",
    "101\r\nAction: Originate\r\nChannel: PJSIP/102",
    "101\x00",
    "${SHELL(reboot)}",
    "101&PJSIP/102",
    "PJSIP/101",
    "../../etc/passwd",
    "7" * 4096,
    "١٠١",
    "101' OR '1'='1",
    "\udcff",
    "<script>",
)

ROUTES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("GET", "/api/makecallexternal"): {"code": "101", "phone": "+375291234567", "clientId": CLIENT},
    ("GET", "/api/transfer"): {"transfer_type": "blind", "from_ext": "101", "to_ext": "102", "clientId": CLIENT},
    ("GET", "/api/park"): {"from_ext": "101", "timeout": "45", "call": "pbx1:1.1", "clientId": CLIENT},
    ("GET", "/api/pickup"): {"from_ext": "101", "target": "102", "space": "", "call": "", "clientId": CLIENT},
    ("GET", "/retailcrm/{secret}/call"): {
        "secret": SECRET,
        "clientId": CLIENT,
        "phone": "+375291234567",
        "code": "101",
    },
    ("POST", "/retailcrm/{secret}/activity"): {"secret": SECRET, "clientId": CLIENT, "activity": '{"active": true}'},
    ("POST", "/retailcrm/{secret}/settings"): {"secret": SECRET, "clientId": CLIENT},
    ("POST", "/retailcrm/{secret}/status"): {"secret": SECRET, "clientId": CLIENT, "userId": "27", "status": "free"},
    ("GET", "/retailcrm/{secret}/status"): {"secret": SECRET, "clientId": CLIENT, "userId": "27", "status": "free"},
    ("GET", "/retailcrm/{secret}/responsible"): {
        "secret": SECRET,
        "phone": "79161234567",
        "line": "1",
        "format": "json",
    },
    ("POST", "/api/callevent/getcustomerdata"): {"Phone": "79161234567"},
    ("GET", "/recordings/{token}"): {"token": "x", "format": "wav"},
    ("GET", "/recordings/{token}/{number}"): {"token": "x", "number": "1", "format": "wav"},
    ("GET", "/retailcrm/webhook"): {"event": "order.edit", "id": "1"},
    ("POST", "/retailcrm/webhook"): {"event": "order.edit", "id": "1"},
    ("GET", "/retailcrm/webhook/{secret}"): {"secret": SECRET, "event": "order.edit", "id": "1"},
    ("POST", "/retailcrm/webhook/{secret}"): {"secret": SECRET, "event": "order.edit", "id": "1"},
}
"""How each is asked well, but for those of the document. Of the rest nothing is asked in parameters."""

WITHOUT_PARAMETERS = {
    *(("GET", path) for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs")),
    *(("GET", path) for path in ("/retailcrm/logo.svg", "/retailcrm")),
    ("POST", "/retailcrm"),
}


def of_the_document(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
    for path, methods in document["paths"].items():
        yield ("GET", path), {one["name"]: "1" if one["in"] == "path" else "" for one in methods["get"]["parameters"]}


def questions(ways: Mapping[tuple[str, str], Mapping[str, str]]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(method, path, parameters): one hostile value at a time."""
    for (method, path), well in ways.items():
        for name, value in itertools.product(well, HOSTILE):
            given = {key: said for key, said in well.items() if said} | {name: value}
            asked = path
            for key in [key for key in given if f"{{{key}}}" in path]:
                asked = asked.replace(f"{{{key}}}", encoded(given.pop(key)) or "%20")
            yield method, asked, given


def encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


async def test_nothing_hostile_is_obeyed_or_breaks_anything(bridge: Bridge, pool: asyncpg.Pool) -> None:
    bridge.config.write_text(
        bridge.config.read_text("utf-8").replace("[web]\n", '[web]\ntrusted_proxies = ["127.0.0.1"]\n'), "utf-8"
    )
    crm, pbx = SandboxCrm([account()]), pbx_of([], speed=20)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(crm.serve())
        host = await stack.enter_async_context(pbx.serve())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await bridge.start()
        text = enterprise_file(
            "0123", crm_url=url, api_key=KEY, hosts={"pbx1": host}, operators={"101": 27, "102": 31},
            more=[f'client_id = "{CLIENT}"'],
        )  # fmt: skip
        await bridge.apply(text.replace("[retailcrm]\n", f'[retailcrm]\nwebhook_secret = "{SECRET}"\n'))
        await until(lambda: bridge.log("host_connected"))
        words = ("add", "--config", str(bridge.config), "0123", "--scope", "read", "--scope", "recordings")
        tokens = [json.loads((await bridge.command("token", *words))[1])["token"] for _ in range(2)]
        async with session.get(f"{bridge.url}/openapi.json") as response:
            document = await response.json()
        ways = {**ROUTES, **dict(of_the_document(document))}
        assert set(ways) | WITHOUT_PARAMETERS == routes(make_app(idle_services(pool)))
        heard = len(pbx.received)

        for number, (method, path, given) in enumerate(questions(ways)):
            visitor = f"2001:db8:{number:x}::1"
            headers = {"X-Forwarded-For": visitor, "Token": CLIENT, "X-Webhook-Secret": SECRET}
            if path.startswith("/api/v1/"):
                headers["Authorization"] = f"Bearer {tokens[number % 2]}"
            query = "&".join(f"{encoded(key)}={encoded(value)}" for key, value in given.items())
            form = query if method == "POST" else None
            if path == "/api/callevent/getcustomerdata":
                form = json.dumps({"TrunkId": "1", "LoadDialPlan": "true", **given})
            elif form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            address = URL(f"{bridge.url}{path}" + (f"?{query}" if query and form is None else ""), encoded=True)
            async with session.request(method, address, data=form, headers=headers) as response:
                body = await response.read()
                said = f"{method} {path} {given!r}: {response.status} {body[:300]!r}"
                assert response.status < 500, said
                assert response.status != 429, said
                assert response.headers["X-Request-ID"], said
                if response.status >= 400:
                    assert response.content_type in ("application/json", "text/plain"), said
        assert [one for one in pbx.received[heard:] if one["Action"] != "Ping"] == []
        assert [line for line in bridge.log() if line["level"] in ("error", "critical")] == []
        async with session.get(f"{bridge.url}/health/ready") as response:
            assert response.status == 200
