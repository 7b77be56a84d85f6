"""Click-to-call over HTTP: what callers of the legacy service hold on to, and what nobody gets past."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg
import pytest
from structlog.testing import capture_logs

from amibridge.calls.clicks import Click, ClickFailed, ClickRefused, Placed, Why
from amibridge.calls.record import CallId, Extension
from amibridge.enterprises import ApiToken, Enterprise, Operator, Scope
from amibridge.redact import Secret
from amibridge.store.tokens import digest_of
from amibridge.web import access
from tests.store.enterprises import romashka
from tests.web.serving import Answer, Site, serving

SECRET, OTHER_SECRET = "hush-secret-of-one", "hush-secret-of-two"
ONE = replace(romashka("0123"), client_id="client-one", webhook_secret=Secret(SECRET))
TWO = replace(
    romashka("0124"), client_id="client-two", webhook_secret=Secret(OTHER_SECRET),
    operators={Extension("101"): Operator(Extension("101"), 99)},
)  # fmt: skip
PHONE = "+375291234567"
PLACED = Placed(
    CallId("pbx1:1795491044.482913047715"),
    "10.0.0.5",
    Extension("101"),
    PHONE,
    PHONE,
    None,
    None,
    timedelta(seconds=0.0042),
)
KNOWN = replace(PLACED, name="Иван Петров", customer=7)

BODY = {
    "success": True, "message": "Call initiated", "enterprise": "Ромашка", "enterprise_number": "0123",
    "from_ext": "101", "to_phone": PHONE, "host_ip": "10.0.0.5", "response_time_ms": 4.2, "display_name": "",
    "call": "pbx1:1795491044.482913047715",
}  # fmt: skip


@dataclass
class Caller:
    """Who places calls: as he is told."""

    answers: Placed | Exception = PLACED
    asked: list[tuple[str, Click]] = field(default_factory=list)

    async def __call__(self, enterprise: Enterprise, click: Click) -> Placed:
        self.asked.append((enterprise.id, click))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def caller(site: Site) -> Caller:
    site.tenants.enterprises([ONE, TWO])
    site.call = caller = Caller()
    return caller


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """All that is logged, without a secret in it whatever happens."""
    with capture_logs() as lines:
        yield lines
    assert not any(secret in str(lines) for secret in (SECRET, OTHER_SECRET, "client-one", "client-two", "29123"))


async def external(site: Site, query: str | dict[str, str], **more: Any) -> Answer:
    query = query if isinstance(query, str) else urlencode(query)
    return await site.ask(f"/api/makecallexternal?{query}", **more)


def asked(**changes: str) -> dict[str, str]:
    return {"code": "101", "phone": PHONE, "clientId": "client-one"} | changes


class TestMakeCallExternal:
    async def test_the_answer_has_the_legacy_keys_and_our_id(
        self, site: Site, caller: Caller, lines: list[Any]
    ) -> None:
        answer = await external(site, asked(display="Магазин"))
        assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (200, BODY, "no-store")
        assert caller.asked == [("0123", Click("101", PHONE, "api"))]
        assert lines == []

    async def test_a_customer_whom_the_crm_knows_is_told(self, site: Site, caller: Caller) -> None:
        caller.answers = KNOWN
        answer = await external(site, asked())
        assert answer.json == BODY | {
            "display_name": "Иван Петров",
            "customer": {
                "first_name": "Иван Петров", "last_name": "", "middle_name": "", "enterprise_name": "",
                "phone_e164": PHONE, "person_uid": "7", "source_type": "retailcrm", "display_name": "Иван Петров",
            },
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("written", "phone"),
        [("%2B375291234567", PHONE), ("+375291234567", "375291234567"), ("%20375291234567%20", "375291234567"),
         ("375291234567", "375291234567")],
    )  # fmt: skip
    async def test_a_plus_may_come_as_a_blank(self, site: Site, caller: Caller, written: str, phone: str) -> None:
        assert (await external(site, f"code=101&phone={written}&clientId=client-one")).status == 200
        assert caller.asked == [("0123", Click("101", phone, "api"))]

    @pytest.mark.parametrize("missing", [("code",), ("phone",), ("clientId",), ("code", "phone", "clientId")])
    async def test_what_is_missing_is_said_as_fastapi_says_it(
        self, site: Site, caller: Caller, missing: tuple[str, ...]
    ) -> None:
        answer = await external(site, {name: value for name, value in asked().items() if name not in missing})
        assert answer.status == 422
        assert answer.json == {
            "detail": [
                {"type": "missing", "loc": ["query", name], "msg": "Field required", "input": None} for name in missing
            ]
        }
        assert caller.asked == []

    @pytest.mark.parametrize("empty", ["code", "phone", "clientId"])
    @pytest.mark.parametrize("blank", ["", "%20", "+"])
    async def test_what_is_empty_is_400(self, site: Site, caller: Caller, empty: str, blank: str) -> None:
        query = asked() | {"phone": "375"} | {empty: blank}
        answer = await external(site, "&".join(f"{name}={value}" for name, value in query.items()))
        assert (answer.status, answer.json) == (400, {"detail": "code, phone and clientId must not be empty"})
        assert caller.asked == []

    async def test_who_is_unknown_is_401_and_counted(self, site: Site, caller: Caller, lines: list[Any]) -> None:
        for client in ("client-three", "CLIENT-ONE", SECRET, "0123", "\0", "ы"):
            answer = await external(site, asked(clientId=client))
            assert (answer.status, answer.json) == (401, {"detail": "Invalid clientId"})
        assert caller.asked == []
        [line] = lines
        assert (line["event"], line["times"]) == ("api_request_refused", 1)

    async def test_a_token_that_may_call_stands_for_the_client_id_and_another_does_not(
        self, site: Site, caller: Caller
    ) -> None:
        tokens = {"hush-call": {Scope.CALL}, "hush-read": set(Scope) - {Scope.CALL}}
        made = tuple(ApiToken(at, digest_of(one), frozenset(tokens[one])) for at, one in enumerate(tokens, 1))
        site.tenants.enterprises([replace(ONE, tokens=made), TWO])
        assert (await external(site, asked(clientId="hush-call"))).json == BODY
        assert len(caller.asked) == 1
        answer = await external(site, asked(clientId="hush-read"))
        assert answer.status == 403
        assert answer.json == {
            "detail": "This needs a token with the scope call, as amibridge token add 0123 --scope call makes one.",
            "error": "wrong_scope",
        }
        assert len(caller.asked) == 1

    async def test_every_call_and_every_refusal_is_in_the_audit(self, site: Site, caller: Caller) -> None:
        answer = await external(site, asked())
        caller.answers = ClickRefused(Why.NO_NUMBER, "no")
        await external(site, asked(phone="'; DROP"))
        caller.answers = ClickFailed("pbx1: away")
        await external(site, asked())
        rows = list(site.trail._rows)
        assert [(row.enterprise, row.who, row.action, row.target, row.outcome) for row in rows] == [
            ("0123", "client_id", "call", f"101 to {PHONE}", "placed"),
            ("0123", "client_id", "call", "", Why.NO_NUMBER),
            ("0123", "client_id", "call", f"101 to {PHONE}", "failed"),
        ]
        assert rows[0].request == answer.headers["X-Request-ID"]

    async def test_too_many_are_429_and_call_nobody(self, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(access, "OF_CREDENTIAL", (0.001, 2))
        async with serving(pool) as site:
            site.tenants.enterprises([ONE])
            site.call = caller = Caller()
            answers = [await external(site, asked()) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert (answers[2].json["error"], answers[2].headers["Retry-After"]) == ("too_many_requests", "1000")
        assert len(caller.asked) == 2

    async def test_what_is_refused_has_a_code_and_a_sentence(
        self, site: Site, caller: Caller, lines: list[Any]
    ) -> None:
        for why, status in ((Why.UNKNOWN_EXTENSION, 400), (Why.NO_NUMBER, 400), (Why.KEY_USED, 409)):
            caller.answers = ClickRefused(why, "Not so.")
            answer = await external(site, asked())
            assert (answer.status, answer.json) == (status, {"detail": "Not so.", "error": why})
        assert lines == []

    async def test_what_smells_is_one_line_however_often(self, site: Site, caller: Caller, lines: list[Any]) -> None:
        caller.answers = ClickRefused(Why.NO_NUMBER, "Not so.", smells=True)
        for _ in range(3):
            assert (await external(site, asked(phone="${SHELL(id)}"))).status == 400
        [line] = lines
        assert (line["event"], line["enterprise"], line["way"], line["reason"]) == (
            "call_request_suspicious", "0123", "api", "not_a_number",
        )  # fmt: skip
        assert "SHELL" not in str(lines)

    async def test_what_fails_is_500_with_the_legacy_beginning(self, site: Site, caller: Caller) -> None:
        caller.answers = ClickFailed("pbx1: the link is down")
        answer = await external(site, asked())
        assert (answer.status, answer.json) == (500, {"detail": "Call initiation failed: pbx1: the link is down"})

    async def test_of_a_parameter_given_twice_the_last_counts(self, site: Site, caller: Caller) -> None:
        await external(site, "code=102&code=101&phone=375291234567&clientId=x&clientId=client-one")
        assert caller.asked == [("0123", Click("101", "375291234567", "api"))]

    @pytest.mark.parametrize(("key", "kept"), [("k-1", "k-1"), ("", None), ("x" * 255, "x" * 255), ("x" * 256, None)])
    async def test_an_idempotency_key_is_passed_on(
        self, site: Site, caller: Caller, key: str, kept: str | None
    ) -> None:
        await external(site, asked(), headers={"Idempotency-Key": key})
        assert [click.key for _, click in caller.asked] == [kept]

    @pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
    async def test_only_a_get_calls(self, site: Site, caller: Caller, method: str) -> None:
        for path in (f"/api/makecallexternal?{urlencode(asked())}", f"/retailcrm/{SECRET}/call?{urlencode(asked())}"):
            assert (await site.ask(path, method)).status == 405
        assert caller.asked == []

    @pytest.mark.parametrize("header", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}])
    async def test_a_browser_that_looks_ahead_calls_nobody(
        self, site: Site, caller: Caller, header: dict[str, str]
    ) -> None:
        answer = await external(site, asked(), headers=header)
        assert (answer.status, answer.json["error"]) == (400, "prefetch")
        assert caller.asked == []

    @pytest.mark.parametrize("junk", ["%FF%FE", "%00", "%0D%0A", "%", "%ZZ", "&&&=", "a" * 4096, quote("ы" * 200)])
    async def test_junk_is_answered_in_a_sentence(self, site: Site, caller: Caller, junk: str) -> None:
        caller.answers = ClickRefused(Why.NO_NUMBER, "Not so.")
        for name in ("code", "phone", "clientId"):
            query = "&".join(f"{k}={junk if k == name else v}" for k, v in asked(phone="375").items())
            answer = await external(site, query)
            assert answer.status in (400, 401, 422)
            assert answer.json["detail"]


class TestMakeCallUrl:
    async def crm(self, site: Site, secret: str = SECRET, **query: str) -> Answer:
        query = {"clientId": "client-one", "phone": PHONE, **query}
        return await site.ask(f"/retailcrm/{secret}/call?{urlencode(query)}")

    async def test_it_answers_ok(self, site: Site, caller: Caller, lines: list[Any]) -> None:
        answer = await self.crm(site, code="102", userId="27", externalPhone="74951110001")
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"OK", "text/plain; charset=utf-8")
        assert caller.asked == [("0123", Click("102", PHONE, "retailcrm", line="74951110001"))]
        assert lines == []

    @pytest.mark.parametrize(("query", "code"), [({"userId": "27"}, "101"), ({"userId": " 31", "code": ""}, "102")])
    async def test_without_a_code_the_user_says_whose_phone(
        self, site: Site, caller: Caller, query: dict[str, str], code: str
    ) -> None:
        assert (await self.crm(site, **query)).status == 200
        assert [click.code for _, click in caller.asked] == [code]

    @pytest.mark.parametrize("query", [{}, {"userId": "99"}, {"userId": "None"}, {"userId": ""}, {"code": " "}])
    async def test_who_has_no_extension_is_told_so(self, site: Site, caller: Caller, query: dict[str, str]) -> None:
        """99 is a user of another enterprise's."""
        answer = await self.crm(site, **query)
        assert (answer.status, answer.json["error"]) == (400, "no_extension")
        assert caller.asked == []

    @pytest.mark.parametrize(
        ("secret", "client"),
        [(SECRET, "client-two"), (OTHER_SECRET, "client-one"), (SECRET, ""), ("no-such-secret", "client-one"),
         ("client-one", SECRET), ("%00", "client-one"), ("no-such-secret", "no-such-client")],
    )  # fmt: skip
    async def test_who_does_not_know_both_calls_nobody(
        self, site: Site, caller: Caller, lines: list[Any], secret: str, client: str
    ) -> None:
        answer = await self.crm(site, secret, clientId=client, code="101")
        assert answer.status == 401
        assert answer.json == {
            "success": False, "error": "unknown_account", "detail": "No account of ours is known by that.",
        }  # fmt: skip
        assert caller.asked == []
        assert [line["event"] for line in lines] == ["call_request_refused"]

    async def test_what_fails_is_an_error_in_our_shape(self, site: Site, caller: Caller) -> None:
        caller.answers = ClickFailed("pbx1: the link is down")
        answer = await self.crm(site, code="101")
        assert answer.status == 500
        assert answer.json == {
            "success": False, "error": "call_failed", "detail": "Call initiation failed: pbx1: the link is down",
        }  # fmt: skip
        caller.answers = ClickRefused(Why.NO_NUMBER, "Not so.")
        answer = await self.crm(site, code="101", phone="")
        assert (answer.status, answer.json["error"]) == (400, "not_a_number")


async def test_equal_extensions_of_two_enterprises_are_two_phones(site: Site, caller: Caller) -> None:
    for client in ("client-one", "client-two"):
        await external(site, asked(clientId=client))
    assert [enterprise for enterprise, _ in caller.asked] == ["0123", "0124"]
    assert json.dumps([click.code for _, click in caller.asked]) == '["101", "101"]'
