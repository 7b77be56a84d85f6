"""Transfers over HTTP: who may ask, for what, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from amibridge.calls.clicks import ClickRefused
from amibridge.calls.clicks import Why as Unasked
from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import Asked, Done, Step, TransferFailed, TransferRefused, Why
from amibridge.enterprises import Enterprise
from tests.web.serving import Answer, Site
from tests.web.test_clicks import ONE, TWO

DONE = Done(Step.BLIND, CallId("pbx1:1795491044.6"), "10.0.0.5", Extension("101"), "102", timedelta(milliseconds=4.2))
BODY = {
    "success": True, "message": "Transferred", "transfer_type": "blind", "from_ext": "101", "to_ext": "102",
    "enterprise": "Ромашка", "enterprise_number": "0123", "host_ip": "10.0.0.5", "response_time_ms": 4.2,
    "call": "pbx1:1795491044.6",
}  # fmt: skip


@dataclass
class Hands:
    """Who transfers: as he is told."""

    answers: Done | Exception = DONE
    asked: list[tuple[str, Asked]] = field(default_factory=list)

    async def __call__(self, enterprise: Enterprise, asked: Asked) -> Done:
        self.asked.append((enterprise.id, asked))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def hands(site: Site) -> Hands:
    site.tenants.enterprises([ONE, TWO])
    site.transfer = hands = Hands()
    return hands


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
    assert not any(secret in str(lines) for secret in ("client-one", "client-two", "29123"))


def asked(**changes: str) -> dict[str, str]:
    return {"transfer_type": "blind", "from_ext": "101", "to_ext": "102", "clientId": "client-one"} | changes


async def ask(site: Site, query: dict[str, str], **more: Any) -> Answer:
    return await site.ask(f"/api/transfer?{urlencode(query)}", **more)


async def test_the_answer_says_what_was_done_in_which_call(site: Site, hands: Hands, lines: list[Any]) -> None:
    answer = await ask(site, asked(to_ext=" 102 ", display="Магазин"))
    assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (200, BODY, "no-store")
    assert hands.asked == [("0123", Asked(Step.BLIND, "101", "102"))]
    assert lines == []


async def test_each_enterprise_is_asked_for_its_own(site: Site, hands: Hands) -> None:
    await ask(site, asked(clientId="client-two"))
    assert [who for who, _ in hands.asked] == ["0124"]


@pytest.mark.parametrize("step", ["complete", "cancel"])
async def test_what_ends_a_question_has_no_target(site: Site, hands: Hands, step: str) -> None:
    query = {name: value for name, value in asked(transfer_type=step, call="pbx1:1.1").items() if name != "to_ext"}
    assert (await ask(site, query)).status == 200
    assert hands.asked == [("0123", Asked(Step(step), "101", "", "pbx1:1.1"))]


@pytest.mark.parametrize("name", ["transfer_type", "from_ext", "to_ext", "clientId"])
async def test_what_is_missing_or_empty_is_said(site: Site, hands: Hands, name: str) -> None:
    missing = await ask(site, {key: value for key, value in asked().items() if key != name})
    assert (missing.status, [one["loc"] for one in missing.json["detail"]]) == (422, [["query", name]])
    empty = await ask(site, asked(**{name: " "}))
    said = "to_ext must not be empty" if name == "to_ext" else "transfer_type, from_ext and clientId must not be empty"
    assert (empty.status, empty.json) == (400, {"detail": said})
    assert hands.asked == []


async def test_strangers_learn_nothing(site: Site, hands: Hands, lines: list[Any]) -> None:
    for query in (asked(clientId="client-three"), asked(clientId="client-three", transfer_type="nonsense")):
        answer = await ask(site, query)
        assert (answer.status, answer.json) == (401, {"detail": "Invalid clientId"})
    assert hands.asked == []
    assert [line["event"] for line in lines] == ["api_request_refused"]


@pytest.mark.parametrize("kind", ["Blind", "hangup", "blind\r\nAction: Hangup", "x" * 4096])
async def test_other_kinds_are_refused(site: Site, hands: Hands, kind: str) -> None:
    answer = await ask(site, asked(transfer_type=kind))
    assert (answer.status, answer.json["error"]) == (400, "unknown_transfer_type")
    assert hands.asked == []


async def test_only_what_somebody_means_transfers(site: Site, hands: Hands) -> None:
    assert (await ask(site, asked(), headers={"Sec-Purpose": "prefetch"})).json["error"] == "prefetch"
    assert (await ask(site, asked(), method="HEAD")).status == 405
    assert (await ask(site, asked(), method="POST")).status == 405
    assert hands.asked == []


@pytest.mark.parametrize("why", Why)
async def test_every_refusal_has_a_status_and_a_code(site: Site, hands: Hands, why: Why) -> None:
    hands.answers = TransferRefused(why, "A sentence.")
    answer = await ask(site, asked())
    assert answer.status in (400, 404, 409)
    assert (answer.status == 404) is (why in (Why.NO_CALL, Why.NOT_RINGING, Why.NOT_PARKED))
    assert answer.json == {"detail": "A sentence.", "error": why}


async def test_what_smells_is_told_once(site: Site, hands: Hands, lines: list[Any]) -> None:
    hands.answers = ClickRefused(Unasked.NO_NUMBER, "A sentence.", smells=True)
    for _ in range(3):
        answer = await ask(site, asked(to_ext="102\r\nAction: Hangup"))
        assert (answer.status, answer.json) == (400, {"detail": "A sentence.", "error": "not_a_number"})
    [line] = lines
    assert (line["event"], line["enterprise"], line["way"]) == ("call_request_suspicious", "0123", "transfer")


async def test_a_failure_is_a_legacy_500(site: Site, hands: Hands) -> None:
    hands.answers = TransferFailed("pbx1: Permission denied")
    answer = await ask(site, asked())
    assert (answer.status, answer.json) == (500, {"detail": "Transfer failed: pbx1: Permission denied"})
