"""A sandbox CRM with two accounts, and somebody who asks it over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from amibridge.sandbox.retailcrm import SandboxAccount, SandboxCrm, SandboxUser
from tests.retailcrm.contract import assert_agreed

KEY = "key-of-romashka"
OTHER_KEY = "key-of-vasilek"
EVENT = "/api/v5/telephony/call/event"
UPLOAD = "/api/v5/telephony/calls/upload"


def romashka() -> SandboxAccount:
    return SandboxAccount(
        site="romashka",
        api_key=KEY,
        time_zone=ZoneInfo("Europe/Minsk"),
        users=[SandboxUser(27, "Ирина Ковалёва", "101"), SandboxUser(31, "Пётр Сидоренко", "102")],
        name="Ромашка",
        customers={"+79161234567": "Ольга Петрова"},
    )


def vasilek() -> SandboxAccount:
    return SandboxAccount(
        site="vasilek",
        api_key=OTHER_KEY,
        time_zone=ZoneInfo("Asia/Vladivostok"),
        users=[SandboxUser(27, "Wrong Woman", "101")],
        name="Василёк",
    )


def ringing(**changes: object) -> dict[str, object]:
    return {"phone": "+79161234567", "type": "in", "codes": ["101"], "callExternalId": "pbx1:1"} | changes


def hangup(**changes: object) -> dict[str, object]:
    return ringing(type="hangup", hangupStatus="no answered") | changes


def finished(**changes: object) -> dict[str, object]:
    return {
        "date": "2026-11-24 09:15:00",
        "type": "in",
        "phone": "+79161234567",
        "result": "answered",
        "externalId": "pbx1:1",
        "code": "101",
        "duration": 187,
        "durationWaiting": 12,
    } | changes


class Asker:
    """Every answer it gets must look as the contract says."""

    def __init__(self, crm: SandboxCrm, url: str, session: aiohttp.ClientSession) -> None:
        self.crm = crm
        self.url = url
        self.session = session

    async def get(self, path: str, key: str | None = KEY, **query: str) -> tuple[int, Any]:
        return await self.ask("GET", path, key, query=query)

    async def post(self, path: str, key: str | None = KEY, **form: object) -> tuple[int, Any]:
        """Fields that are not text go as JSON."""
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in form.items()}
        return await self.ask("POST", path, key, form=fields)

    async def ask(
        self,
        method: str,
        path: str,
        key: str | None = KEY,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        headers = {} if key is None else {"X-API-KEY": key}
        async with self.session.request(
            method, self.url + path, params=query or None, data=form, headers=headers
        ) as response:
            body = json.loads(await response.text())
            assert_agreed(method, path, response.status, body)
            return response.status, body

    async def text(self, path: str) -> str:
        async with self.session.get(self.url + path) as response:
            assert response.status == 200
            return await response.text()


@asynccontextmanager
async def sandbox_crm() -> AsyncIterator[Asker]:
    crm = SandboxCrm([romashka(), vasilek()])
    async with crm.serve() as url, aiohttp.ClientSession() as session:
        yield Asker(crm, url, session)
