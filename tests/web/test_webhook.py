"""Triggers of RetailCRM at our door: who may knock, and what is passed on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import EnterpriseId
from amibridge.redact import Secret
from amibridge.retailcrm.triggers import Hint, Subject
from amibridge.web import webhook
from tests.store.enterprises import romashka
from tests.store.proxy import Proxy
from tests.web.serving import Site

pytestmark = pytest.mark.postgres

SECRET = "hush-webhook-secret"
PATH = f"/retailcrm/webhook/{SECRET}"
HERE = EnterpriseId("0123")
ORDER = (HERE, Hint(Subject.ORDER, 5))


@pytest.fixture
def door(site: Site) -> Site:
    other = replace(romashka("0124"), webhook_secret=Secret("another-secret"))
    site.tenants.enterprises([romashka(), other, replace(romashka("0125"), webhook_secret=Secret(""), client_id="c5")])
    return site


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", f"{PATH}?event=order.edit&id=5", {}),
        ("GET", f"{PATH}?event=order.edit&id=5", {}),
        ("POST", PATH, {"data": {"event": "order.edit", "id": "5"}}),
        ("POST", PATH, {"json": {"event": "order.edit", "id": 5}}),
        ("POST", PATH, {"data": b'{"order": {"id": 5}}', "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/retailcrm/webhook", {"json": {"order": {"id": 5}}, "headers": {"X-Webhook-Secret": SECRET}}),
        ("GET", "/retailcrm/webhook?type=order.create&id=5", {"headers": {"X-Webhook-Secret": SECRET}}),
    ],
)
async def test_whoever_knows_the_secret_is_heard(door: Site, method: str, path: str, more: dict[str, Any]) -> None:
    answer = await door.ask(path, method, **more)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert door.hints == [ORDER]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"what=ever", b'{"event": "payment.edit", "id": 1}'])
async def test_what_is_not_understood_is_a_hint_all_the_same(door: Site, body: bytes) -> None:
    answer = await door.ask(PATH, "POST", data=body)
    assert answer.status == 200
    assert door.hints == [(HERE, Hint())]


@pytest.mark.parametrize("name", ["clientId=client-of-0123", "enterprise=0123"])
async def test_a_signature_of_the_body_is_as_good_as_the_secret(door: Site, name: str) -> None:
    body = b'{"event": "order.edit", "id": 5}'
    headers = {"X-Signature": signature(body)}
    assert (await door.ask(f"/retailcrm/webhook?{name}", "POST", data=body, headers=headers)).status == 200
    assert door.hints == [ORDER]


@pytest.mark.parametrize(
    ("query", "body", "given"),
    [
        ("clientId=client-of-0123", b"id=5", signature(b"id=6")),
        ("clientId=client-of-0123", b"id=5", signature(b"id=5", "another-secret")),
        ("clientId=client-of-0124", b"id=5", signature(b"id=5")),
        ("clientId=nobody", b"id=5", signature(b"id=5")),
        ("", b"id=5", signature(b"id=5")),
        ("clientId=c5", b"id=5", signature(b"id=5", "")),
        ("clientId=client-of-0123", b"", signature(b"")),
        ("clientId=client-of-0123", b"id=5", "sha256="),
        ("clientId=client-of-0123", b"id=5", ""),
        ("clientId=client-of-0123", b"id=5", "md5=abc"),
        ("clientId=client-of-0123", b"id=5", "sha256=ё"),
    ],
)
async def test_a_wrong_signature_is_refused_alike(door: Site, query: str, body: bytes, given: str) -> None:
    answer = await door.ask(f"/retailcrm/webhook?{query}", "POST", data=body, headers={"X-Signature": given})
    assert (answer.status, answer.json["error"]) == (401, "unauthorized")
    assert door.hints == []


async def test_strangers_learn_nothing_and_write_one_line(door: Site) -> None:
    with capture_logs() as lines:
        answers = [await door.ask("/retailcrm/webhook/no-such-secret", "POST") for _ in range(20)]
        answers += [await door.ask(f"/retailcrm/webhook/{SECRET}x?id=1")]
        nameless = [
            await door.ask("/retailcrm/webhook", "POST", data={"id": "5"}),
            await door.ask("/retailcrm/webhook", "POST", headers={"X-Webhook-Secret": "x" * 500}),
            await door.ask("/retailcrm/webhook", "POST", headers={"X-Webhook-Secret": ""}),
        ]
    assert {answer.status for answer in answers} == {404}
    assert {answer.status for answer in nameless} == {401}
    assert door.hints == []
    refusals = [line for line in lines if line["event"] == "webhook_refused"]
    assert [(line["times"], line["peer"], line["log_level"]) for line in refusals] == [(1, "127.0.0.1", "warning")]
    assert "secret" not in str(lines)


async def test_a_secret_in_the_path_is_not_replaced_by_one_in_a_header(door: Site) -> None:
    answer = await door.ask("/retailcrm/webhook/wrong", "POST", headers={"X-Webhook-Secret": SECRET})
    assert answer.status == 404
    assert door.hints == []


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
async def test_a_body_has_a_bound(door: Site, size: int, status: int) -> None:
    assert (await door.ask(PATH, "POST", data=b"x" * size)).status == status
    assert len(door.hints) == (status == 200)


async def test_a_body_that_does_not_come_is_not_waited_for(door: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_WITHIN", timedelta(milliseconds=50))
    async with door.connected() as (reader, writer):
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nid".encode())
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
    assert door.hints == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_verbs_are_refused(door: Site, method: str) -> None:
    assert (await door.ask(PATH, method)).status == 405


async def test_an_absent_database_delays_no_answer(far_site: Site, way: Proxy) -> None:
    far_site.tenants.enterprises([romashka()])
    way.close()
    assert (await far_site.ask(f"{PATH}?event=order.edit&id=5")).status == 200
    assert far_site.hints == [ORDER]
