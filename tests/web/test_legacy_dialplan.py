"""`getcustomerdata`, byte for byte, and read the way the dialplan of an older bridge reads it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from amibridge.calls.record import Extension
from amibridge.enterprises import NamePart, ResponsibleMode, ResponsibleSettings
from amibridge.responsible.answer import Answer, Because, Nobody, Somebody, Why
from amibridge.responsible.naming import shown
from amibridge.web import legacy_dialplan
from amibridge.web.legacy_dialplan import LEGACY_PATH, NO_ANSWER, compact
from tests.responsible.people import customer, known
from tests.responsible.people import romashka as of_people
from tests.store.enterprises import romashka
from tests.web.serving import Site

CLIENT = "client-of-0123"
QUESTION = {"UniqueId": "1.1", "Phone": "79161234567", "TrunkId": "0001301", "LoadDialPlan": "true"}
ANNA = Answer(Somebody(Extension("101"), Because.RESPONSIBLE, "Анна"), "Москва | Иван Петров", "Иван Петров")
OFF, NAME, ROUTE = ResponsibleMode.OFF, ResponsibleMode.NAME, ResponsibleMode.ROUTE


def serves(site: Site, mode: ResponsibleMode, **settings: Any) -> None:
    ours = replace(romashka("0123"), responsible=ResponsibleSettings(mode, **settings))
    site.tenants.enterprises([ours, romashka("0124")])


async def asked(site: Site, question: Any = QUESTION, token: str | None = CLIENT) -> tuple[int, bytes]:
    body = question if isinstance(question, bytes) else json.dumps(question)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({} if token is None else {"Token": token})
    answer = await site.ask(LEGACY_PATH, "POST", data=body, headers=headers)
    return answer.status, answer.body


def read_by_the_macro(body: bytes) -> tuple[str, str] | None:
    """(Name, DialPlan) as the dialplan cuts them out, None when it takes the answer for none.

    Asterisk's LEN() counts bytes.
    """
    text = body.decode("utf-8")
    if len(body) < 30 or not text.startswith("{") or not text.endswith("}") or "<html" in text:
        return None
    cut = text[9:-1].replace('","DialPlan":', ",").replace('"', "")
    name, _, context = cut.partition(",")
    assert "," not in context
    return name, context


GOLDEN = [
    (ROUTE, {}, ANNA, '{"Name":"Москва | Иван Петров","DialPlan":"mngr101_0001301_1"}'),
    (ROUTE, {"dialplan": "mngr{extension}_1"}, ANNA, '{"Name":"Москва | Иван Петров","DialPlan":"mngr101_1"}'),
    (ROUTE, {}, replace(ANNA, shown=""), '{"Name":"","DialPlan":"mngr101_0001301_1"}'),
    (ROUTE, {}, Answer(Nobody(Why.DINNER), "Иван"), '{"Name":"Иван","DialPlan":null}'),
    (NAME, {}, ANNA, '{"Name":"Москва | Иван Петров","DialPlan":null}'),
    (ROUTE, {}, Answer(Nobody(Why.UNKNOWN_CUSTOMER)), '{"Name":"","DialPlan":null}'),
    (OFF, {}, ANNA, '{"Name":"","DialPlan":null}'),
]


@pytest.mark.parametrize(("mode", "settings", "told", "wanted"), GOLDEN)
async def test_the_bytes(
    site: Site, mode: ResponsibleMode, settings: dict[str, Any], told: Answer, wanted: str
) -> None:
    serves(site, mode, **settings)
    site.responsible = told
    assert await asked(site) == (200, wanted.encode())
    assert site.asked == ([] if mode is OFF else [("0123", "79161234567", "0001301")])


def test_no_answer_has_27_characters_and_is_none_to_the_macro() -> None:
    assert len(NO_ANSWER) == 27
    assert compact("", None) == NO_ANSWER
    assert read_by_the_macro(NO_ANSWER) is None


@pytest.mark.parametrize(("name", "is_read"), [("", False), ("Jo", False), ("Joe", True), ("Ян", True)])
def test_a_name_of_fewer_than_three_bytes_without_a_context_is_no_answer(name: str, is_read: bool) -> None:
    assert read_by_the_macro(compact(name, None)) == ((name, "null") if is_read else None)


@given(st.text(max_size=80), st.sampled_from([None, "mngr1", "mngr101_0001301_1"]))
def test_whatever_a_customer_is_called_the_macro_reads_what_was_said(name: str, context: str | None) -> None:
    said = shown(of_people(name=(NamePart.LINE, NamePart.CUSTOMER)), "74951110001", known(customer(name=name)))
    body = compact(said, context)
    assert json.loads(body) == {"Name": said, "DialPlan": context}
    assert read_by_the_macro(body) == (said, context or "null")


def test_the_shortest_context_that_a_file_may_name_is_long_enough() -> None:
    assert read_by_the_macro(compact("", "mngr1")) == ("", "mngr1")


@pytest.mark.parametrize("line", ["", "1,2", 'x"y', "${X}", "a" * 41])
async def test_a_line_that_is_none_leaves_the_normal_way(site: Site, line: str) -> None:
    serves(site, ROUTE)
    site.responsible = ANNA
    status, body = await asked(site, QUESTION | {"TrunkId": line})
    assert (status, json.loads(body)["DialPlan"]) == (200, None)


@pytest.mark.parametrize("wanted", ["false", "", None, False, 0])
async def test_who_does_not_want_a_context_gets_none(site: Site, wanted: object) -> None:
    serves(site, ROUTE)
    site.responsible = ANNA
    question = {name: value for name, value in (QUESTION | {"LoadDialPlan": wanted}).items() if value is not None}
    assert json.loads((await asked(site, question))[1]) == {"Name": "Москва | Иван Петров", "DialPlan": None}


class TestWrong:
    """Whatever is wrong, the body is that of 27 characters: of our usual refusals the macro would cut a context."""

    @pytest.mark.parametrize("token", [None, "", "client-of-9999", "0123", CLIENT + "x"])
    async def test_a_stranger(self, site: Site, token: str | None) -> None:
        serves(site, ROUTE)
        with capture_logs() as lines:
            assert [await asked(site, token=token) for _ in range(2)] == [(401, NO_ANSWER)] * 2
        assert [line["event"] for line in lines] == ["responsible_refused"]
        assert site.asked == []

    async def test_whoever_tries_one_client_id_after_another_finds_none(self, site: Site) -> None:
        """Those that an older bridge gave out have four digits: all of them are tried in seconds."""
        serves(site, ROUTE)
        site.responsible = ANNA
        with capture_logs() as lines:
            said = [await asked(site, token=f"{number:04}") for number in range(40)]
            said += [await asked(site)]
        assert {body for _, body in said} == {NO_ANSWER}
        assert [status for status, _ in said[:20]] == [401] * 20
        assert said[-1][0] == 429, "also the right one, or whoever guesses would know it"
        assert [line["event"] for line in lines] == ["responsible_refused", "api_request_limited"]
        assert site.asked == []

    async def test_a_pbx_that_asks_before_anybody_is_known_has_not_guessed(self, site: Site) -> None:
        site.tenants.are_known = False
        assert [await asked(site) for _ in range(40)] == [(401, NO_ANSWER)] * 40
        serves(site, OFF)
        assert (await asked(site))[0] == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"[" * 50_000, b'{"Phone":[1]}', b'{"Phone":null}',
            b'{"Phone":1.5}', b'{"Phone":"' + b"7" * 201 + b'"}', b'{"TrunkId":{}}',
        ],
    )  # fmt: skip
    async def test_a_body_that_asks_nothing(self, site: Site, body: bytes) -> None:
        serves(site, ROUTE)
        assert await asked(site, body) == (400, NO_ANSWER)
        assert site.asked == []

    async def test_a_huge_body(self, site: Site) -> None:
        serves(site, ROUTE)
        assert await asked(site, b"x" * 100_000) == (413, NO_ANSWER)

    async def test_a_body_that_does_not_come(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(legacy_dialplan, "BODY_WITHIN", legacy_dialplan.BODY_WITHIN / 100)
        serves(site, ROUTE)
        async with site.connected() as (reader, writer):
            head = f"POST {LEGACY_PATH} HTTP/1.1\r\nHost: x\r\nToken: {CLIENT}\r\nContent-Length: 80\r\n\r\n{{"
            writer.write(head.encode())
            async with asyncio.timeout(30):
                answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(NO_ANSWER)

    async def test_a_defect_of_ours(self, site: Site) -> None:
        serves(site, ROUTE)
        site.responsible = RuntimeError("broken")
        with capture_logs() as lines:
            assert await asked(site) == (500, NO_ANSWER)
        assert [line["event"] for line in lines] == ["request_failed"]

    async def test_a_phone_that_is_a_number_is_read(self, site: Site) -> None:
        serves(site, NAME)
        await asked(site, QUESTION | {"Phone": 79161234567})
        await asked(site, QUESTION | {"Phone": " 79161234567"})
        assert [phone for _, phone, _ in site.asked] == ["79161234567", "+79161234567"]


async def test_whom_a_dialplan_was_told_of_is_written_down(site: Site) -> None:
    site.responsible = ANNA
    serves(site, OFF)
    await asked(site)
    assert len(site.trail) == 0
    serves(site, NAME)
    await asked(site)
    await asked(site, b"nonsense")
    await asked(site, token="hush")
    [row] = site.trail._rows
    assert (row.enterprise, row.who, row.address, row.action) == ("0123", "dialplan", "127.0.0.1", "responsible")
    assert (row.target, row.outcome) == ("79161234567 to 101", "responsible")


async def test_what_cannot_be_written_down_is_not_told(site: Site) -> None:
    site.responsible, site.trail._room = ANNA, 0
    serves(site, ROUTE)
    assert await asked(site) == (200, NO_ANSWER)
