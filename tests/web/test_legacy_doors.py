"""What the older service answered to anybody: that it lives; and what it should never have answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import EnterpriseId
from tests.store.enterprises import romashka
from tests.web.serving import Site
from tests.web.test_answers import is_error


@pytest.fixture
def door(site: Site) -> Site:
    site.tenants.enterprises([romashka(), replace(romashka("0124"), id=EnterpriseId("0124"))])
    return site


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("path", ["/health", "/api/status", "/health?clientId=client-of-0123"])
async def test_it_says_that_it_lives_and_nothing_of_anybody(door: Site, path: str) -> None:
    answer = await door.ask(path)
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await door.ask(path, "HEAD")).status == 200
    assert (await door.ask(path, "POST")).status == 405


@pytest.mark.parametrize("path", ["/retailcrm/make-call", "/retailcrm/status"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
async def test_what_four_digits_guarded_is_shut(door: Site, path: str, method: str, lines: list[Any]) -> None:
    answer = await door.ask(f"{path}?clientId=0123&userId=27&phone=%2B375291234567&code=101&status=dinner", method)
    assert answer.status == 410
    if method != "HEAD":
        assert is_error(answer, 410, "module_outdated")
        assert "amibridge retailcrm register" in answer.json["detail"]
    [line] = lines
    assert (line["event"], line["log_level"]) == ("legacy_module_asks", "warning")
    assert (line["enterprise"], line["advice"]) == ("0123", "amibridge retailcrm register 0123")
    assert len(door.trail) == 0


async def test_whoever_asks_learns_nothing_by_the_answer(door: Site) -> None:
    told = [
        (await door.ask(f"/retailcrm/make-call?clientId={client}&phone=1&userId=27")).json
        for client in ("0123", "9999", "", "client-of-0123", "%00", "9" * 4000, "${SHELL(x)}")
    ]
    assert all(one == told[0] for one in told)


async def test_the_administrator_hears_of_each_module_once_a_minute(door: Site, lines: list[Any]) -> None:
    for _ in range(30):
        for client in ("0123", "client-of-0124", "evil%0a0123", "9" * 4000, "hush"):
            await door.ask(f"/retailcrm/status?clientId={client}")
    assert [line.get("enterprise") for line in lines] == ["0123", "0124", None]
    assert not any(word in str(lines) for word in ("evil", "9999", "hush", "client-of"))


@pytest.mark.parametrize("name", ["c8c5b2e2-4b9b-4f0e-9c57-3f2d5a1d9a10", "..%2f..%2fetc%2fpasswd", "0", "x" * 4000])
async def test_old_links_to_recordings_open_nothing(door: Site, name: str) -> None:
    """Only the older service's database knows which call a uuid stood for."""
    assert is_error(await door.ask(f"/recordings/file/{name}"), 404, "not_found")
