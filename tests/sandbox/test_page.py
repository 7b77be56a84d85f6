"""The page of the sandbox CRM, as it is without JavaScript, and what tells it to be fresh."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from amibridge.sandbox.crm_page import RESULTS, WHY
from amibridge.sandbox.retailcrm import SandboxCrm, SandboxUser
from tests.retailcrm.contract import CONTRACT
from tests.sandbox.crm_asker import (
    EVENT,
    KEY,
    OTHER_KEY,
    UPLOAD,
    Asker,
    finished,
    hangup,
    ringing,
    romashka,
    sandbox_crm,
)
from tests.sandbox.html_page import Element, read_page

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&amp;{{ 7*7 }}"
RECORDING = "https://bridge.example.com/recordings/abc"


async def page_of(asker: Asker) -> Element:
    return read_page(await asker.text("/"))


async def state_of(asker: Asker) -> Any:
    return json.loads(await asker.text("/state.json"))


def desk(page: Element, name: str, account: str = "Ромашка") -> Element:
    [section] = [one for one in page.all(".account") if one.one("h2").text.startswith(account)]
    [found] = [one for one in section.all(".desk") if one.one(".name").text == name]
    return found


def rows(page: Element, account: str = "Ромашка") -> list[Element]:
    [section] = [one for one in page.all(".account") if one.one("h2").text.startswith(account)]
    return [one for one in section.all(".call") if "head" not in one.classes]


async def test_an_open_popup_says_who_calls_whom_and_since_when(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing(externalPhone="74951110001"))
    page = await page_of(asker)
    irina, pyotr = desk(page, "Ирина Ковалёва"), desk(page, "Пётр Сидоренко")
    [popup] = irina.all(".popup")
    assert popup.classes == {"popup", "in"}
    assert re.fullmatch(r"Incoming call 0:0\d \+79161234567 Ольга Петрова to 74951110001", popup.text)
    assert irina.one(".state").text == "1 popup"
    assert (pyotr.one(".state").text, pyotr.all(".popup")) == ("quiet", [])
    assert desk(page, "Wrong Woman", "Василёк").all(".popup") == []


async def test_an_outgoing_one_differs_and_a_stranger_is_called_one(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing(type="out", phone="+79160000000", externalPhone="74951110000"))
    await asker.post(EVENT, event=ringing(callExternalId="pbx1:2"))
    irina = desk(await page_of(asker), "Ирина Ковалёва")
    newest, oldest = irina.all(".popup")
    assert newest.classes == {"popup", "in"}
    assert oldest.classes == {"popup", "out"}
    assert re.fullmatch(r"Outgoing call 0:0\d \+79160000000 Unknown customer from 74951110000", oldest.text)
    assert irina.one(".state").text == "2 popups"


@pytest.mark.parametrize("kind", ["in", "out"])
@pytest.mark.parametrize("status", WHY)
async def test_a_closed_one_says_why_for_a_while(
    asker: Asker, kind: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asker.post(EVENT, event=ringing(type=kind))
    await asker.post(EVENT, event=hangup(hangupStatus=status))
    irina = desk(await page_of(asker), "Ирина Ковалёва")
    [popup] = irina.all(".popup")
    assert popup.classes == {"popup", kind, "closed"}
    cancelled = "Caller gave up" if kind == "in" else "Cancelled"
    assert popup.one(".why").text == {"cancel": cancelled}.get(status, WHY[status])
    assert irina.one(".state").text == "quiet"
    monkeypatch.setattr("amibridge.sandbox.crm_page.REMEMBERED", timedelta(0))
    assert desk(await page_of(asker), "Ирина Ковалёва").all(".popup") == []


def test_the_page_has_a_word_for_every_status_and_result_of_the_contract() -> None:
    schemas = CONTRACT["components"]["schemas"]
    assert WHY.keys() == set(schemas["CallEvent"]["properties"]["hangupStatus"]["enum"])
    assert RESULTS.keys() == set(schemas["Call"]["properties"]["result"]["enum"])


async def test_a_call_has_time_customer_operator_result_spans_and_a_player(asker: Asker) -> None:
    await asker.post(UPLOAD, calls=[finished(externalPhone="74951110001", recordUrl=RECORDING, duration=3787)])
    [row] = rows(await page_of(asker))
    assert row.one("time").text == "09:15:00 24.11"
    assert row.one(".party").text == "+79161234567 Ольга Петрова · to 74951110001"
    assert row.one(".arrow").attributes["aria-label"] == "incoming"
    assert row.one(".operator").text == "Ирина Ковалёва 101"
    assert (row.one(".result").text, "answered" in row.one(".result").classes) == ("Answered", True)
    assert row.one(".spans").text == "0:12 1:03:07"
    player = row.one("audio")
    assert player.attributes["src"] == RECORDING
    assert {"controls", "preload"} <= player.attributes.keys()


async def test_what_a_call_lacks_is_not_made_up(asker: Asker) -> None:
    bare = {name: value for name, value in finished().items() if not name.startswith(("code", "duration"))}
    await asker.post(
        UPLOAD,
        calls=[
            bare | {"type": "out", "phone": "+79160000000", "result": "no answer"},
            bare | {"externalId": "2", "code": "999"},
            bare | {"externalId": "3", "userId": 4, "code": "101"},
        ],
    )
    page = await page_of(asker)
    by_id = {row.one("time").attributes["title"]: row for row in rows(page)}
    assert [by_id[one].one(".operator").text for one in ("pbx1:1", "2", "3")] == ["nobody", "unknown 999", "unknown 4"]
    assert by_id["pbx1:1"].one(".party").text == "+79160000000"
    assert by_id["pbx1:1"].one(".arrow").attributes["aria-label"] == "outgoing"
    assert by_id["pbx1:1"].one(".spans").text == "– –"
    assert page.all("audio") == []


async def test_before_the_first_call_the_page_says_what_will_come(asker: Asker) -> None:
    page = await page_of(asker)
    assert [one.text for one in page.all(".empty")] == [
        "No calls yet. Each appears here when it is over and has been uploaded."
    ] * 2
    await asker.post(UPLOAD, calls=[finished()])
    assert len((await page_of(asker)).all(".empty")) == 1


async def test_calls_are_listed_by_their_date_and_the_latest_only(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in (5, 20, 10, 15):
        date = f"2026-11-24 09:{minute:02}:00"
        await asker.post(UPLOAD, calls=[finished(date=date, externalId=str(minute))])
    monkeypatch.setattr("amibridge.sandbox.crm_page.SHOWN_CALLS", 3)
    page = await page_of(asker)
    assert [row.one("time").text[:5] for row in rows(page)] == ["09:20", "09:15", "09:10"]
    assert page.all("h3")[0].text == "Calls 4, the newest 3 shown"
    listed = (await state_of(asker))["accounts"][0]["calls"]
    assert [call["external_id"] for call in listed] == ["20", "15", "10", "5"]


async def test_requests_are_listed_with_what_became_of_them(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing())
    await asker.post(EVENT, event=ringing(phone=""))
    page = await page_of(asker)
    refused, heard = page.one("#requests").all("li")
    assert (heard.one(".status").text, refused.one(".status").text) == ("200", "400")
    assert heard.one(".target").text == f"POST {EVENT} Ромашка"
    assert '"callExternalId": "pbx1:1"' in heard.one("code").text
    assert refused.one(".complaint").text.startswith("Errors in the entity format; phone:")
    counters = {one.attributes["data-key"]: one for one in page.one("#counters").all("div")}
    assert (counters["events"].text, counters["refused"].text) == ("1 events", "1 requests refused")
    assert ("bad" in counters["refused"].classes, "bad" in counters["violations"].classes) == (True, False)


async def test_the_page_and_the_state_tell_the_same(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing(codes=["101", "102"]))
    await asker.post(EVENT, event=hangup(codes=["102"]))
    await asker.post(UPLOAD, calls=[finished(recordUrl=RECORDING), finished(externalId="2", code="9")])
    await asker.post(UPLOAD, OTHER_KEY, calls=[finished(result="busy")])
    state, page = await state_of(asker), await page_of(asker)
    for account in state["accounts"]:
        [section] = [one for one in page.all(".account") if one.one("h2").text.startswith(account["name"])]
        for user, shown in zip(account["users"], section.all(".desk"), strict=True):
            assert shown.one(".name").text == user["name"]
            popups = [(one.one(".phone").text, "closed" in one.classes) for one in shown.all(".popup")]
            assert popups == [(popup["phone"], popup["closed_at"] is not None) for popup in user["popups"]]
        listed = [
            (row.one("time").attributes["datetime"], row.one(".phone").text, row.one(".result").text)
            for row in rows(page, account["name"])
        ]
        assert listed == [(call["date"], call["phone"], RESULTS[call["result"]]) for call in account["calls"]]
    assert {one.attributes["data-key"]: one.one("dd").text for one in page.one("#counters").all("div")} == {
        name: str(count) for name, count in state["counters"].items()
    }
    assert state["counters"] | {"refused": 0} == {
        "events": 2, "uploads": 2, "calls": 3, "duplicates": 0, "refused": 0, "violations": 0,
    }  # fmt: skip
    assert len(state["requests"]) == len(page.one("#requests").all("li")) == 4
    assert datetime.fromisoformat(state["now"]).tzinfo is not None


async def test_hostile_names_are_text_and_nothing_else() -> None:
    account = replace(
        romashka(), name=HOSTILE, site=HOSTILE, users=[SandboxUser(27, HOSTILE, "101")], customers={"+7": HOSTILE}
    )
    crm = SandboxCrm([account])
    async with crm.serve() as url, aiohttp.ClientSession() as session:
        asker = Asker(crm, url, session)
        known = {"phone": "+7", "externalPhone": HOSTILE}
        await asker.post(EVENT, event=ringing(callExternalId=HOSTILE, **known))
        await asker.post(UPLOAD, calls=[finished(externalId=HOSTILE, **known), finished(externalId="2", code=HOSTILE)])
        await asker.ask("POST", EVENT, KEY, form={"event": "x", HOSTILE: HOSTILE})
        text = await asker.text("/")
    page = read_page(text)
    assert [script.attributes["src"] for script in page.all("script")] == ["crm.js"]
    assert page.all("img") == []
    assert [name for one in page.all() for name in one.attributes if name.startswith("on")] == []
    assert page.one(".name").text == " ".join(HOSTILE.split())
    assert len([one for one in page.all() if one.inside == [HOSTILE]]) >= 3
    assert "49" not in page.one("h2").text


async def test_customers_and_notices_are_seen_and_their_html_is_not(asker: Asker) -> None:
    for number in range(12):
        customer = {"firstName": f"Анна {number}", "phones": [{"number": f"8 916 {number}"}]}
        asker.crm.accounts[0].customers.create(customer, datetime.now(UTC))
    notice = {"type": "api.info", "message": f"<p>missed</p> {HOSTILE}", "userIds": [27], "userGroups": ["manager"]}
    await asker.post("/api/v5/notifications/send", notification=notice)
    page = read_page(await asker.text("/"))
    notices, customers = page.all(".records")  # the other account has neither
    assert "missed" in notices.text
    assert "27, manager" in notices.text
    shown = customers.all("li")
    assert (len(shown), shown[0].one("span").text, shown[0].one("small").text) == (10, "Анна 11", "8 916 11")
    assert "13, the newest 10 shown" in " ".join(customers.text.split())
    assert page.all("img") == []
    assert len((await state_of(asker))["accounts"][0]["customers"]) == 13


async def test_tasks_are_seen_and_whether_they_are_done(asker: Asker) -> None:
    for text in (HOSTILE, "call back"):
        task = {"text": text, "performerId": 27, "datetime": "2026-11-24 12:30"}
        await asker.post("/api/v5/tasks/create", task=task)
    await asker.post("/api/v5/tasks/2/edit", task={"complete": True})
    page = read_page(await asker.text("/"))
    [tasks, _] = page.all(".records")
    assert [" ".join(one.one("small").text.split()) for one in tasks.all("li")] == [
        "done · Ирина Ковалёва", "to do until 12:30 · Ирина Ковалёва",
    ]  # fmt: skip
    assert page.all("img") == []
    assert len((await state_of(asker))["accounts"][0]["tasks"]) == 2


async def test_everything_the_page_needs_comes_from_it_and_nothing_is_kept(asker: Asker) -> None:
    async with asker.session.get(f"{asker.url}/") as response:
        page, headers = read_page(await response.text()), response.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")
    needed = [
        one.attributes.get("src") or one.attributes.get("href") for one in page.all() if one.tag in ("script", "link")
    ]
    assert needed == ["crm.css", "crm.js"]
    for name, kind in (("crm.css", "text/css"), ("crm.js", "text/javascript")):
        async with asker.session.get(f"{asker.url}/{name}") as response:
            assert (response.status, response.content_type) == (200, kind)
            assert "http" not in (await response.text()).replace("http-equiv", "")
    assert [one for one in page.all() if "style" in one.attributes] == []


async def test_health_is_ok(asker: Asker) -> None:
    assert json.loads(await asker.text("/health")) == {"status": "ok"}


class TestChanges:
    @asynccontextmanager
    async def told(self, asker: Asker) -> AsyncIterator[aiohttp.StreamReader]:
        async with asker.session.get(f"{asker.url}/changes") as response:
            assert response.content_type == "text/event-stream"
            assert await response.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
            yield response.content

    async def test_each_change_is_told(self, asker: Asker) -> None:
        async with self.told(asker) as changes:
            for number in (1, 2):
                await asker.post(EVENT, event=ringing(callExternalId=str(number)))
                async with asyncio.timeout(10):
                    assert await changes.readuntil(b"\n\n") == b"event: changed\ndata: %d\n\n" % number

    async def test_many_at_once_are_told_as_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.sandbox.crm_page.BREATH", 0.5)
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            async with sandbox_crm() as asker:
                response = await session.get(f"{asker.url}/changes")
                await asker.post(EVENT, event=ringing())
                for expected in (b"retry: 1000\n\n", b"event: changed\ndata: 1\n\n"):
                    assert await response.content.readuntil(b"\n\n") == expected
                calls = [ringing(callExternalId=str(number)) for number in range(10)]
                await asyncio.gather(*(asker.post(EVENT, event=call) for call in calls))
                assert await response.content.readuntil(b"\n\n") == b"event: changed\ndata: 2\n\n"
            assert await response.content.read() == b""
            response.close()

    async def test_a_silent_line_is_kept_alive(self, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.sandbox.crm_page.HEARTBEAT", 0.02)
        async with self.told(asker) as changes, asyncio.timeout(10):
            assert await changes.readuntil(b"\n\n") == b": still here\n\n"

    async def test_everybody_is_told_and_who_left_holds_up_nobody(self, asker: Asker) -> None:
        async with self.told(asker) as changes, asyncio.timeout(10):
            async with self.told(asker) as gone:
                await asker.post(EVENT, event=ringing())
                for one in (changes, gone):
                    assert (await one.readuntil(b"\n\n")).startswith(b"event: changed")
            await asker.post(EVENT, event=hangup())
            assert (await changes.readuntil(b"\n\n")).startswith(b"event: changed")

    async def test_it_ends_with_the_server(self) -> None:
        async with aiohttp.ClientSession() as session:
            async with sandbox_crm() as asker:
                response = await session.get(f"{asker.url}/changes")
                await response.content.readuntil(b"\n\n")
            async with asyncio.timeout(10):
                assert await response.content.read() == b""
            response.close()
