"""What RetailCRM asks of our module, on a real port: who knows both secrets is obeyed, nobody else learns a thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import Enterprise, EnterpriseId, ModuleStanding
from amibridge.redact import Secret
from amibridge.store.directory import Directory
from amibridge.web import forms
from tests.store.enterprises import romashka
from tests.store.proxy import Proxy
from tests.web.serving import KEYRING, Answer, Site

SECRET, OTHER_SECRET = "hush-secret-of-one", "hush-secret-of-two"
ONE = replace(romashka("0123"), client_id="client-one", webhook_secret=Secret(SECRET))
TWO = replace(romashka("0124"), client_id="client-two", webhook_secret=Secret(OTHER_SECRET))
ON, OFF = {"active": True, "freeze": False}, {"active": False, "freeze": False}
FROZEN = {"active": True, "freeze": True}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UNKNOWN = {"success": False, "error": "unknown_account", "detail": "No account of ours is known by that."}


@pytest.fixture
async def directory(pool: asyncpg.Pool, site: Site) -> Directory:
    directory = Directory(pool, KEYRING)
    for one in (ONE, TWO):
        await directory.apply(one)
    site.tenants.enterprises(await directory.load())
    return directory


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """All that is logged, without a secret in it whatever happens."""
    with capture_logs() as lines:
        yield lines
    assert not any(secret in str(lines) for secret in (SECRET, OTHER_SECRET, "hush-key"))


async def tell(
    site: Site, said: Mapping[str, Any] | str, *, secret: str = SECRET, client: str = "client-one", **more: str
) -> Answer:
    text = said if isinstance(said, str) else json.dumps(said)
    body = urlencode({"clientId": client, "activity": text, **more})
    return await site.ask(f"/retailcrm/{secret}/activity", "POST", data=body, headers=FORM)


async def stood(directory: Directory, number: str = "0123") -> Enterprise:
    found = await directory.load_one(EnterpriseId(number))
    assert found is not None
    return found


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


class TestActivity:
    async def test_it_is_kept_for_its_enterprise_alone(
        self, site: Site, directory: Directory, lines: list[Any]
    ) -> None:
        for said, works in ((FROZEN, False), (OFF, False), (OFF, False), (ON, True)):
            answer = await tell(site, said)
            assert (answer.status, answer.json) == (200, {"success": True})
            module = (await stood(directory)).module
            assert (module.active, module.frozen, module.works) == (said["active"], said["freeze"], works)
        assert (await stood(directory, "0124")).module == ModuleStanding()
        assert events(lines) == ["crm_tells_activity"] * 4
        assert {line["enterprise"] for line in lines} == {"0123"}
        assert {(row.enterprise, row.who, row.action, row.outcome) for row in site.trail._rows} == {
            ("0123", "retailcrm", "module.activity", "done")
        }

    @pytest.mark.parametrize(
        ("secret", "client"),
        [
            (SECRET, "client-two"), (OTHER_SECRET, "client-one"), (SECRET, ""), (SECRET, "CLIENT-ONE"),
            ("no-such-secret", "client-one"), ("no-such-secret", "no-such-client"), ("%00", "client-one"),
            ("client-one", SECRET), (SECRET + "x", "client-one"), ("%FF%FE", "\ud7ff"),
        ],
    )  # fmt: skip
    async def test_who_does_not_know_both_learns_not_which_was_wrong(
        self, site: Site, directory: Directory, lines: list[Any], secret: str, client: str
    ) -> None:
        for said in (OFF, "{"):
            answer = await tell(site, said, secret=secret, client=client)
            assert (answer.status, answer.json) == (400, UNKNOWN)
        assert (await stood(directory)).module == ModuleStanding()
        assert [set(line) for line in lines] == [{"event", "log_level", "peer", "times"}]

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", '{"active":"true"}', '{"active":1}', '{"freeze":true}', "[" * 15_000, "\0"]
    )
    async def test_what_is_no_activity_changes_nothing(
        self, site: Site, directory: Directory, lines: list[Any], text: str
    ) -> None:
        answer = await tell(site, text)
        assert (answer.status, answer.json["error"]) == (400, "bad_request")
        assert (await stood(directory)).module == ModuleStanding()
        assert events(lines) == ["crm_callback_not_understood"]

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", FORM["Content-Type"]),
            (b"\xff\xfe=\xff", FORM["Content-Type"]),
            (b"&".join(b"a%d=1" % n for n in range(60)), FORM["Content-Type"]),
            (json.dumps({"clientId": "client-one", "activity": OFF}).encode(), "application/json"),
            (b"clientId=client-one&activity={}", "text/plain"),
            (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        ],
    )
    async def test_a_body_that_is_no_form_is_nobodys(
        self, site: Site, directory: Directory, body: bytes, kind: str
    ) -> None:
        answer = await site.ask(f"/retailcrm/{SECRET}/activity", "POST", data=body, headers={"Content-Type": kind})
        assert (answer.status, answer.json) == (400, UNKNOWN)
        assert (await stood(directory)).module == ModuleStanding()

    async def test_a_huge_body_is_not_read(self, site: Site, directory: Directory) -> None:
        answer = await tell(site, "x" * 100_000)
        assert (answer.status, answer.json["success"]) == (413, False)

    @pytest.mark.parametrize("secret", [SECRET, "no-such-secret"])
    async def test_a_body_that_does_not_come_is_not_waited_for(
        self, site: Site, directory: Directory, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        monkeypatch.setattr(forms, "BODY_WITHIN", timedelta(milliseconds=50))
        async with site.connected() as (reader, writer):
            head = f"POST /retailcrm/{secret}/activity HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nid"
            writer.write(head.encode())
            async with asyncio.timeout(10):
                assert b" 408 " in await reader.readline()

    async def test_of_a_field_given_twice_the_last_counts(self, site: Site, directory: Directory) -> None:
        twice = f"clientId=nobody&clientId=client-one&activity=%7B&{urlencode({'activity': json.dumps(FROZEN)})}"
        answer = await site.ask(f"/retailcrm/{SECRET}/activity", "POST", data=twice, headers=FORM)
        assert answer.status == 200
        assert (await stood(directory)).module.frozen

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
    async def test_it_is_only_told_by_post(self, site: Site, directory: Directory, method: str) -> None:
        for secret in (SECRET, "no-such-secret"):
            answer = await site.ask(f"/retailcrm/{secret}/activity", method)
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    async def test_an_enterprise_that_was_just_removed_is_nobody(self, site: Site, directory: Directory) -> None:
        await directory.remove(EnterpriseId("0123"))
        answer = await tell(site, OFF)
        assert (answer.status, answer.json) == (400, UNKNOWN)

    async def test_what_cannot_be_kept_is_not_said_to_be(self, far_site: Site, way: Proxy, lines: list[Any]) -> None:
        far_site.tenants.enterprises([ONE, TWO])
        way.close()
        answer = await tell(far_site, OFF)
        assert (answer.status, answer.json["error"], answer.headers["Retry-After"]) == (503, "database_away", "5")
        assert "crm_callback_not_kept" in events(lines)


class TestMove:
    async def test_within_retailcrm_it_is_followed(self, site: Site, directory: Directory, lines: list[Any]) -> None:
        answer = await tell(site, ON, systemUrl="https://new.simla.com")
        assert answer.status == 200
        moved = await stood(directory)
        assert (moved.account.url, moved.module.moved_from) == ("https://new.simla.com", ONE.account.url)
        site.tenants.enterprises(await directory.load())
        await tell(site, OFF)
        assert (await stood(directory)).account.url == "https://new.simla.com"
        await tell(site, ON, systemUrl=ONE.account.url)
        assert (await stood(directory)).account.url == ONE.account.url
        assert [event for event in events(lines) if event != "crm_tells_activity"] == ["crm_account_moved"] * 2

    @pytest.mark.parametrize(
        "url", ["https://evil.example", "http://new.simla.com", "https://x.simla.com@evil.example"]
    )
    async def test_anywhere_else_it_is_not_and_the_rest_counts(
        self, site: Site, directory: Directory, lines: list[Any], url: str
    ) -> None:
        answer = await tell(site, FROZEN, systemUrl=url)
        assert answer.status == 200
        found = await stood(directory)
        assert (found.account.url, found.module.frozen) == (ONE.account.url, True)
        assert found.module.unheeded is not None
        assert events(lines) == ["crm_tells_activity", "crm_account_move_not_followed"]
        site.tenants.enterprises(await directory.load())
        await tell(site, ON, systemUrl=ONE.account.url)
        assert (await stood(directory)).module.unheeded is None


class TestSettings:
    async def test_whose_settings_changed_is_asked_anew(
        self, site: Site, directory: Directory, lines: list[Any]
    ) -> None:
        body = urlencode({"clientId": "client-one", "settings": json.dumps({"timezone": {"value": "Nowhere/None"}})})
        answer = await site.ask(f"/retailcrm/{SECRET}/settings", "POST", data=body, headers=FORM)
        assert (answer.status, answer.json) == (200, {"success": True})
        assert site.zones_changed == ["0123"]
        assert events(lines) == ["crm_tells_new_settings"]

    async def test_nobody_else_can_say_so(self, site: Site, directory: Directory) -> None:
        for secret, client in ((SECRET, "client-two"), ("no-such-secret", "client-one")):
            body = urlencode({"clientId": client, "settings": "{}"})
            answer = await site.ask(f"/retailcrm/{secret}/settings", "POST", data=body, headers=FORM)
            assert (answer.status, answer.json) == (400, UNKNOWN)
        assert site.zones_changed == []


class TestLooks:
    async def test_the_logo_is_an_svg_that_runs_nothing(self, site: Site) -> None:
        answer = await site.ask("/retailcrm/logo.svg")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")
        drawn = ElementTree.fromstring(answer.body)
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert not any("script" in one.tag or any(name.startswith("on") for name in one.attrib) for one in drawn.iter())
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_whoever_opens_the_module_in_the_crm_is_told_where_its_settings_are(
        self, site: Site, method: str
    ) -> None:
        answer = await site.ask("/retailcrm", method)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"amibridge enterprise apply" in answer.body
