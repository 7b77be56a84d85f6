"""What the running bridge says, what others say in its place, and whether the public address leads to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from amibridge.config import WebSettings
from amibridge.doctor import bridge
from amibridge.doctor.bridge import Health, address, health_of
from amibridge.doctor.findings import Finding, Level
from amibridge.doctor.public_url import public_url
from amibridge.enterprises import EnterpriseId
from amibridge.web.answers import REQUEST_ID
from tests.doctor.looking import Told, all_of, by_about, unwell

ONE = EnterpriseId("0123")
OURS = {REQUEST_ID: "1234"}
READY: dict[str, Any] = {
    "status": "ready",
    "database": {"state": "up"},
    "hosts": [{"enterprise": "0123", "host": "pbx1", "state": "up", "since": "2026-03-10T12:00:00+00:00", "events": 7}],
    "enterprises": [{"enterprise": "0123", "crm": {"state": "well", "since": "2026-03-10T12:00:00+00:00"}}],
    "histories": [{"enterprise": "0123", "history": "orders", "read_at": "2026-03-10T12:00:00+00:00", "reason": None}],
    "facts_waiting": 0,
    "deliveries": [],
    "longest_stall_ms": 12.5,
}


def at(url: str, public: str = "http://127.0.0.1:8019") -> WebSettings:
    parts = urlsplit(url)
    return WebSettings(str(parts.hostname), int(parts.port or 80), public)


async def said(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Health:
    told = Told({"/health/ready": (status, body, OURS if headers is None else headers)})
    async with told.serve() as url:
        return await health_of(at(url))


async def told_of(health: Health) -> list[Finding]:
    settings = WebSettings("127.0.0.1", 8019, "")
    return [*await all_of(bridge.running(health, settings)), *await all_of(bridge.following(health, ONE))]


async def test_one_that_is_well() -> None:
    found = await told_of(await said(READY))
    assert unwell(found) == []
    assert set(by_about(found)) == {"bridge", "pbx1 followed", "CRM told", "CRM orders"}
    assert by_about(await told_of(await said(READY | {"histories": []}))).keys() == by_about(found).keys() - {
        "CRM orders"
    }


@pytest.mark.parametrize(
    ("changes", "level", "about", "words"),
    [
        ({"database": {"state": "away", "reason": "no answer"}}, Level.FAIL, "bridge", "lost its database: no answer"),
        ({"facts_waiting": 5000}, Level.WARN, "bridge", "5000 facts wait"),
        ({"longest_stall_ms": 4000.0}, Level.WARN, "bridge", "stood still for 4000 ms"),
        ({"hosts": [{"enterprise": "0123", "host": "pbx1", "state": "refused", "reason": "no"}]}, Level.FAIL,
         "pbx1 followed", "refused since None: no"),
        ({"enterprises": [{"enterprise": "0123", "crm": {"state": "paused", "reason": "wrong key"}}]}, Level.FAIL,
         "CRM told", "wrong key"),
        ({"enterprises": [{"enterprise": "0123", "crm": {"state": "troubled", "reason": "502"}}]}, Level.WARN,
         "CRM told", "502"),
        ({"histories": [{"enterprise": "0123", "history": "orders", "reason": "no right"}]}, Level.WARN,
         "CRM orders", "cannot be read: no right; not read since the bridge took it up"),
        ({"hosts": [], "enterprises": []}, Level.FAIL, "bridge", "does not serve this enterprise"),
        ({"hosts": "\x1b", "enterprises": [7, {"enterprise": "0123", "crm": 7}], "facts_waiting": "many"}, Level.FAIL,
         "CRM told", "no reason said"),
    ],
)  # fmt: skip
async def test_what_is_not_well_is_passed_on(changes: dict[str, Any], level: Level, about: str, words: str) -> None:
    [(found_level, found_about, found)] = unwell(await told_of(await said(READY | changes)))
    assert (found_level, found_about) == (level, about)
    assert words in found


class TestSomethingElse:
    async def test_nobody(self, unused_tcp_port: int) -> None:
        health = await health_of(WebSettings("127.0.0.1", unused_tcp_port, ""))
        [(level, _, found)] = unwell(await told_of(health))
        assert (level, found) == (Level.WARN, "127.0.0.1:8019: nobody answers")

    @pytest.mark.parametrize(
        ("body", "headers"),
        [(READY, {}), ({"status": "ready"}, OURS), ([], OURS), ("<html>", OURS), ("[" * 100_000, OURS)],
    )
    async def test_what_is_no_bridge_is_not_believed(self, body: Any, headers: dict[str, str]) -> None:
        health = await said(body, headers=headers)
        assert health.unasked is not None
        assert health.unasked[0] == "what answers there is no amibridge"

    async def test_an_answer_without_end_is_not_read_to_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bridge, "LONGEST_ANSWER", 10)
        assert (await said(READY)).unasked is not None


@pytest.mark.parametrize(
    ("host", "where"),
    [("0.0.0.0", "127.0.0.1:8019"), ("::", "[::1]:8019"), ("::1", "[::1]:8019"), ("10.0.0.9", "10.0.0.9:8019")],
)
def test_who_listens_everywhere_is_asked_here(host: str, where: str) -> None:
    assert address(WebSettings(host, 8019, "")) == where


class TestPublicUrl:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://127.0.0.1:8019", "means this machine itself"),
            ("http://localhost", "means this machine itself"),
            ("http://0.0.0.0:8019", "means this machine itself"),
            ("https://10.0.0.9", "a private network"),
            ("https://bridge", "a private network"),
            ("http://bridge.example.com", "in the clear"),
        ],
    )
    async def test_one_that_nobody_outside_can_use(self, url: str, words: str) -> None:
        away = Health(unasked=("nobody answers", "start it"))
        [(level, about, found)] = unwell(await all_of(public_url(at("http://127.0.0.1:1", url), away)))
        assert (level, about) == (Level.WARN, "public_url")
        assert words in found

    async def test_one_that_is_fit_is_left_at_that_while_no_bridge_runs(self) -> None:
        away = Health(unasked=("nobody answers", "start it"))
        settings = at("http://127.0.0.1:1", "https://bridge.example.com")
        assert unwell(await all_of(public_url(settings, away))) == []

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((404, {"success": False}, OURS), None),
            ((404, "nginx", {}), "leads elsewhere"),
            ((200, "welcome", OURS), "leads elsewhere"),
        ],
    )
    async def test_whether_it_leads_here(
        self, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any, dict[str, str]], words: str | None
    ) -> None:
        """Only addresses of this machine can be served in a test: so they count as public ones."""
        monkeypatch.setattr("amibridge.doctor.public_url._unfit", lambda url: iter(()))
        async with Told({"/recordings/doctor": answer}).serve() as url:
            found = unwell(await all_of(public_url(at("http://127.0.0.1:1", url), Health(READY))))
        assert (found == []) if words is None else (words in found[0][2])

    async def test_one_where_nobody_answers(self) -> None:
        settings = at("http://127.0.0.1:1", "https://bridge.invalid")
        [(level, _, found)] = unwell(await all_of(public_url(settings, Health(READY))))
        assert (level, found) == (Level.WARN, "https://bridge.invalid, asked from here: its name has no address")
