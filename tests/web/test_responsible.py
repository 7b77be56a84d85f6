"""`GET /retailcrm/{secret}/responsible`, as a dialplan asks it by CURL(), and as others do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from amibridge.calls.record import Extension
from amibridge.redact import Secret
from amibridge.responsible.answer import Answer, Because, Nobody, Somebody, Why
from tests.store.enterprises import romashka
from tests.web.serving import Site

SECRET = "hush-secret-of-one"
ONE = replace(romashka("0123"), client_id="client-one", webhook_secret=Secret(SECRET))
TWO = replace(romashka("0124"), client_id="client-two", webhook_secret=Secret("hush-secret-of-two"))
ANNA = Answer(Somebody(Extension("101"), Because.RESPONSIBLE, "Анна"), "Москва | Иван", "Иван")
AT_DINNER = Answer(Nobody(Why.DINNER), "Иван", "Иван")
PATH = f"/retailcrm/{SECRET}/responsible"


@pytest.fixture(autouse=True)
def tenants(site: Site) -> None:
    site.tenants.enterprises([ONE, TWO])


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert "hush" not in str(lines)


async def test_as_json_it_says_all_that_is_known(site: Site) -> None:
    site.responsible = ANNA
    answer = await site.ask(f"{PATH}?phone=79161234567&line=74951110001")
    assert (answer.status, answer.json) == (
        200,
        {
            "success": True,
            "extension": "101",
            "operator": "Анна",
            "name": "Москва | Иван",
            "customer": "Иван",
            "reason": "responsible",
        },
    )
    assert site.asked == [("0123", "79161234567", "74951110001")]


async def test_nobody_has_a_reason(site: Site) -> None:
    site.responsible = AT_DINNER
    answer = await site.ask(f"{PATH}?phone=79161234567&format=json")
    assert (answer.json["extension"], answer.json["operator"], answer.json["reason"]) == (None, None, "dinner")
    assert site.asked == [("0123", "79161234567", None)]


@pytest.mark.parametrize(("told", "body"), [(ANNA, b"101"), (AT_DINNER, b"")])
async def test_as_text_it_is_the_extension_alone_or_nothing(site: Site, told: Answer, body: bytes) -> None:
    site.responsible = told
    answer = await site.ask(f"{PATH}?phone=79161234567&format=text")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "text/plain; charset=utf-8", body)


@pytest.mark.parametrize("phone", ["+79161234567", "%2B79161234567", "%2079161234567"])
async def test_a_plus_that_arrives_as_a_blank_is_a_plus(site: Site, phone: str) -> None:
    await site.ask(f"{PATH}?phone={phone}")
    assert site.asked == [("0123", "+79161234567", None)]


async def test_each_secret_opens_its_own_enterprise(site: Site) -> None:
    await site.ask("/retailcrm/hush-secret-of-two/responsible?phone=1")
    assert site.asked == [("0124", "1", None)]


@pytest.mark.parametrize("secret", ["no-such-secret", "client-one", "%00", "%FF%FE", "x" * 5000, "0123"])
@pytest.mark.parametrize("kind", ["json", "text"])
async def test_whoever_knows_no_secret_learns_nothing(site: Site, lines: list[Any], secret: str, kind: str) -> None:
    for _ in range(2):
        answer = await site.ask(f"/retailcrm/{secret}/responsible?phone=79161234567&format={kind}")
        assert answer.status == 404
        assert answer.body == b"" if kind == "text" else answer.json["error"] == "not_found"
    assert site.asked == []
    assert [line["event"] for line in lines] == ["responsible_refused"], "once a minute"


@pytest.mark.parametrize(
    "query", ["", "phone", "line=1", f"phone={'7' * 201}", f"phone=7&line={'7' * 201}", "phone=7&format=xml"]
)
async def test_what_is_no_question_is_refused_with_a_sentence(site: Site, query: str) -> None:
    answer = await site.ask(f"{PATH}?{query}")
    asks_nobody = query == "phone"  # empty, as of a caller who hides his number
    assert (answer.status, answer.json.get("error")) == ((200, None) if asks_nobody else (400, "bad_request"))
    assert site.asked == ([("0123", "", None)] if asks_nobody else [])


@pytest.mark.parametrize("query", ["format=text", f"format=text&phone={'7' * 201}"])
async def test_as_text_even_a_refusal_is_no_extension(site: Site, query: str) -> None:
    answer = await site.ask(f"{PATH}?{query}")
    assert (answer.status, answer.body) == (400, b"")


async def test_as_text_even_a_defect_of_ours_is_no_extension(site: Site, lines: list[Any]) -> None:
    site.responsible = RuntimeError("a defect")
    answer = await site.ask(f"{PATH}?format=text&phone=79161234567")
    assert (answer.status, answer.body) == (500, b"")
    assert [line["event"] for line in lines] == ["request_failed"]


@pytest.mark.parametrize("phone", ["\r\nX: y", "${EXTEN}", "&SIP/101", "\0", "'; DROP TABLE calls", "\ud7ff"])
async def test_odd_phones_are_passed_on_as_they_are_and_answered(site: Site, phone: str) -> None:
    answer = await site.ask(f"{PATH}?phone={quote(phone)}&more=ignored")
    assert answer.status == 200
    assert site.asked == [("0123", phone, None)]


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE"])
async def test_it_is_asked_by_get(site: Site, method: str) -> None:
    answer = await site.ask(f"{PATH}?phone=1", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_whom_a_dialplan_was_told_of_is_written_down(site: Site) -> None:
    for answer, reason, whom in ((ANNA, "responsible", "79161234567 to 101"), (AT_DINNER, "dinner", "79161234567")):
        site.responsible = answer
        told = await site.ask(f"{PATH}?phone=79161234567&format=text")
        row = site.trail._rows.pop()
        assert (row.enterprise, row.who, row.address, row.action) == ("0123", "dialplan", "127.0.0.1", "responsible")
        assert (row.target, row.outcome, row.request) == (whom, reason, told.headers["X-Request-ID"])


async def test_what_names_nobody_is_no_row_and_neither_is_a_refusal(site: Site) -> None:
    site.responsible = Answer(Nobody(Why.UNKNOWN_CUSTOMER))
    for query in ("phone=79161234567", "phone=79161234567&format=xml", ""):
        await site.ask(f"{PATH}?{query}")
    await site.ask("/retailcrm/hush-nobody/responsible?phone=79161234567")
    assert len(site.trail) == 0


async def test_what_cannot_be_written_down_is_not_told(site: Site) -> None:
    site.responsible, site.trail._room = ANNA, 1
    assert (await site.ask(f"{PATH}?phone=1&format=text")).body == b"101"
    assert (await site.ask(f"{PATH}?phone=1&format=text")).body == b""
    told = (await site.ask(f"{PATH}?phone=1")).json
    assert (told["extension"], told["name"], told["customer"], told["reason"]) == (None, None, None, "not_told")
    assert len(site.trail) == 1
