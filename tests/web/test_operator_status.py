"""`changeUserStatusUrl`, as RetailCRM asks it: believed with both secrets only, and written before it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.enterprises import EnterpriseId
from amibridge.redact import Secret
from amibridge.store.directory import Directory
from tests.store.enterprises import romashka
from tests.store.proxy import Proxy
from tests.web.serving import KEYRING, Answer, Site

SECRET, OTHER_SECRET = "hush-secret-of-one", "hush-secret-of-two"
ONE = replace(romashka("0123"), client_id="client-one", webhook_secret=Secret(SECRET))
TWO = replace(romashka("0124"), client_id="client-two", webhook_secret=Secret(OTHER_SECRET))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def directory(pool: asyncpg.Pool, site: Site) -> Directory:
    directory = Directory(pool, KEYRING)
    for one in (ONE, TWO):
        await directory.apply(one)
    site.tenants.enterprises(await directory.load())
    return directory


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert "hush" not in str(lines)


async def tell(site: Site, secret: str = SECRET, *, method: str = "GET", **said: str) -> Answer:
    words = urlencode({"clientId": "client-one", "userId": "27", "code": "101", "status": "dinner"} | said)
    path = f"/retailcrm/{secret}/status"
    if method == "GET":
        return await site.ask(f"{path}?{words}")
    return await site.ask(path, method, data=words, headers=FORM)


async def rows(pool: asyncpg.Pool) -> list[tuple[Any, ...]]:
    found = await pool.fetch("SELECT enterprise_id, crm_user, extension, status FROM operator_statuses ORDER BY 1, 2")
    return [tuple(row) for row in found]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", ["free", "busy", "dinner", "break"])
async def test_it_is_written_for_its_enterprise_alone(
    site: Site, directory: Directory, pool: asyncpg.Pool, lines: list[Any], method: str, status: str
) -> None:
    for said in ("break", status):
        answer = await tell(site, method=method, status=said)
        assert (answer.status, answer.json) == (200, {"success": True})
    await tell(site, OTHER_SECRET, clientId="client-two", userId="27", code="")
    assert await rows(pool) == [("0123", 27, "101", status), ("0124", 27, None, "dinner")]
    assert [(line["event"], line["enterprise"]) for line in lines] == [
        ("crm_tells_status", "0123"),
        ("crm_tells_status", "0123"),
        ("crm_tells_status", "0124"),
    ]


@pytest.mark.parametrize(
    ("secret", "client"),
    [
        (SECRET, "client-two"), (OTHER_SECRET, "client-one"), (SECRET, ""), ("no-such-secret", "client-one"),
        ("client-one", SECRET), ("%00", "client-one"),
    ],
)  # fmt: skip
async def test_who_does_not_know_both_learns_not_which_was_wrong(
    site: Site, directory: Directory, pool: asyncpg.Pool, lines: list[Any], secret: str, client: str
) -> None:
    for status in ("dinner", "nonsense"):
        answer = await tell(site, secret, clientId=client, status=status)
        assert (answer.status, answer.json["error"]) == (400, "unknown_account")
    assert await rows(pool) == []
    assert [set(line) for line in lines] == [{"event", "log_level", "peer", "times"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": ""}, {"status": "DINNER"}, {"status": "lunch"}, {"status": "free\0"}, {"userId": ""},
        {"userId": "0"}, {"userId": "-1"}, {"userId": "27x"}, {"userId": "9" * 19}, {"userId": "9" * 5000},
        {"userId": "\u0662\u0667"}, {"code": "1" * 65}, {"code": "101&102"}, {"code": "1\r\n2"}, {"code": "\0"},
    ],
)  # fmt: skip
async def test_what_is_no_status_changes_nothing(
    site: Site, directory: Directory, pool: asyncpg.Pool, lines: list[Any], wrong: dict[str, str]
) -> None:
    answer = await tell(site, **wrong)
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert await rows(pool) == []
    assert [line["event"] for line in lines] == ["crm_callback_not_understood"]


async def test_of_an_argument_given_twice_the_last_counts(site: Site, directory: Directory, pool: asyncpg.Pool) -> None:
    path = f"/retailcrm/{SECRET}/status?clientId=nobody&clientId=client-one&userId=27&status=busy&status=free"
    assert (await site.ask(path)).status == 200
    assert await rows(pool) == [("0123", 27, None, "free")]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_a_look_at_the_address_changes_nothing(
    site: Site, directory: Directory, pool: asyncpg.Pool, method: str
) -> None:
    words = "clientId=client-one&userId=27&status=dinner"
    answer = await site.ask(f"/retailcrm/{SECRET}/status?{words}", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,POST")
    assert await rows(pool) == []


async def test_an_enterprise_that_was_just_removed_is_nobody(
    site: Site, directory: Directory, pool: asyncpg.Pool
) -> None:
    await tell(site)
    await directory.remove(EnterpriseId("0123"))
    answer = await tell(site)
    assert (answer.status, answer.json["error"]) == (400, "unknown_account")
    assert await rows(pool) == []


async def test_what_cannot_be_kept_is_not_said_to_be(far_site: Site, way: Proxy, lines: list[Any]) -> None:
    far_site.tenants.enterprises([ONE, TWO])
    way.close()
    answer = await tell(far_site)
    assert (answer.status, answer.json["error"], answer.headers["Retry-After"]) == (503, "database_away", "5")
    assert [line["event"] for line in lines] == ["crm_callback_not_kept"]
