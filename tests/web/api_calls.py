"""Calls of two enterprises that have everything in common but whose they are, and a site that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg

from amibridge.calls.facts import CallEnded, FactKey
from amibridge.calls.record import Attempt, CallId, CallRecord, Direction, Extension, Outcome, Transfer, TransferKind
from amibridge.enterprises import ApiToken, EnterpriseId, HostName, Scope
from amibridge.store.ledger import HeardFact, Ledger
from amibridge.store.tokens import digest_of
from tests.delivery.rows import NOON, brief, record
from tests.store.enterprises import romashka
from tests.web.serving import Answer, Site

HERE, THERE = EnterpriseId("0123"), EnterpriseId("0124")
HOST = HostName("pbx1")


def token_of(enterprise: EnterpriseId) -> str:
    return f"hush-{enterprise}"


def bearer(enterprise: EnterpriseId = HERE) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(enterprise)}"}


SCOPES = frozenset({Scope.READ, Scope.RECORDINGS})


def introduce(site: Site) -> None:
    site.tenants.enterprises(
        replace(
            romashka(one), tokens=(ApiToken(1, digest_of(token_of(one)), frozenset({Scope.READ, Scope.RECORDINGS})),)
        )
        for one in (HERE, THERE)
    )


async def write(pool: asyncpg.Pool, records: Sequence[CallRecord], enterprise: EnterpriseId = HERE) -> None:
    ended = [CallEnded(FactKey(f"end:{one.call_id}"), one.call_id, NOON, brief(), one) for one in records]
    await Ledger(pool).record([HeardFact(enterprise, HOST, fact, NOON) for fact in ended])


def whole(call: str = "pbx1:1.1") -> CallRecord:
    """With something in every field."""
    return replace(
        record(call),
        reason="voicemail",
        caller_name="Ромашка \"и'\\",
        queue="500",
        rang=(Extension("102"), Extension("101")),
        transfers=(Transfer(TransferKind.ATTENDED, Extension("101"), "102", NOON, True),),
        recordings=("/var/spool/a.wav",),
        click_to_call="click-1",
        notes=("merged 2.2",),
        attempts=(Attempt(Extension("101"), NOON, NOON, None, "answered"),),
    )


def some(many: int) -> list[CallRecord]:
    """Of all directions and outcomes; three begin at each second."""
    found = []
    for number in range(many):
        direction = list(Direction)[number % 3]
        outcomes = (Outcome.ANSWERED, Outcome.MISSED) if direction is Direction.INCOMING else tuple(Outcome)[2:]
        begun = NOON + timedelta(seconds=number // 3)
        one = record(f"pbx1:{number:05}.1", outcome=outcomes[number % len(outcomes)], phone=f"+7916{number % 7:07}")
        operators = (Extension(str(101 + number % 5)),)
        found.append(replace(one, direction=direction, started_at=begun, ended_at=begun, operators=operators))
    return found


def live(call: str, begun: datetime = NOON, *operators: str) -> CallRecord:
    extensions = tuple(Extension(one) for one in operators)
    return replace(
        record(call), outcome=None, ended_at=None, started_at=begun, rang=extensions, operators=(), call_id=CallId(call)
    )


async def ask(site: Site, query: str = "", enterprise: EnterpriseId = HERE) -> Answer:
    return await site.ask(f"/api/v1/calls{query}", headers=bearer(enterprise))


async def all_pages(site: Site, query: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        answer = await ask(site, f"?limit={limit}{query}{cursor}")
        assert answer.status == 200, answer.json
        found += [one["call_id"] for one in answer.json["calls"]]
        assert len(answer.json["calls"]) <= limit
        if answer.json["next"] is None:
            return found
        cursor = f"&cursor={answer.json['next']}"
