"""Who may come in, how often, and with what: keys, rates and bodies of the sandbox CRM."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from amibridge.sandbox.crm_witness import KEPT_REQUESTS, LIMITS, LimitClass, SeenRequest, Witness
from amibridge.sandbox.retailcrm import EXCERPT, SandboxAccount, SandboxCrm
from tests.sandbox.crm_asker import EVENT, KEY, OTHER_KEY, UPLOAD, Asker, finished, ringing, romashka, vasilek

VERSIONS = "/api/api-versions"
MANAGER = "/api/v5/telephony/manager"
FORM = "application/x-www-form-urlencoded"


class TestKeys:
    async def test_a_key_is_taken_from_header_form_or_query(self, asker: Asker) -> None:
        event = json.dumps(ringing())
        answers = [
            await asker.ask("POST", EVENT, KEY, form={"event": event}),
            await asker.ask("POST", EVENT, None, form={"event": event, "apiKey": KEY}),
            await asker.ask("POST", EVENT, None, query={"apiKey": KEY}, form={"event": event}),
            await asker.ask("GET", VERSIONS, None, query={"apiKey": OTHER_KEY}),
        ]
        assert [status for status, _ in answers] == [200] * 4
        assert [len(account.popups) for account in asker.crm.accounts] == [3, 0]

    @pytest.mark.parametrize("key", [None, ""])
    async def test_without_one_nothing_is_answered(self, asker: Asker, key: str | None) -> None:
        assert await asker.get(VERSIONS, key) == (400, {"success": False, "errorMsg": '"apiKey" is missing.'})

    @pytest.mark.parametrize("key", ["wrong", KEY + " ", KEY.upper(), KEY[:-1]])
    async def test_a_wrong_one_opens_nothing(self, asker: Asker, key: str) -> None:
        status, body = await asker.ask("GET", VERSIONS, None, query={"apiKey": key})
        assert (status, body) == (403, {"success": False, "errorMsg": 'Wrong "apiKey" value.'})
        assert asker.crm.requests[-1].account is None

    async def test_the_key_is_asked_for_before_anything_is_told(self, asker: Asker) -> None:
        assert (await asker.get("/api/v5/nowhere", "wrong"))[0] == 403
        assert (await asker.post(EVENT, "wrong", event=ringing(phone="")))[0] == 403

    async def test_a_key_is_never_shown_noted_or_logged(self, asker: Asker) -> None:
        """Not even one that was put where none belongs."""
        event = json.dumps(ringing())
        with capture_logs() as lines:
            await asker.ask("POST", EVENT, KEY, form={"event": event})
            await asker.ask("POST", EVENT, None, form={"event": event, "apiKey": KEY})
            await asker.ask("GET", VERSIONS, None, query={"apiKey": KEY})
            await asker.ask("POST", EVENT, None, query={"apiKey": KEY}, form={"event": "nonsense"})
            await asker.ask("POST", EVENT, KEY, form={"apikey": KEY, "event": event})
            await asker.ask("POST", EVENT, KEY, form={KEY: "x", "event": event})
            await asker.ask("POST", EVENT, KEY, form={"event": json.dumps(ringing(apiKey=KEY))})
            await asker.ask("POST", EVENT, KEY, form={"event": "x" * (EXCERPT - 15) + KEY})
        assert (len(asker.crm.requests), len(lines)) == (8, 5)
        shown = await asker.text("/") + await asker.text("/state.json")
        for text in (
            shown,
            repr(list(asker.crm.requests)),
            repr(lines),
            repr([one.account for one in asker.crm.accounts]),
        ):
            assert KEY[:8] not in text

    @pytest.mark.parametrize(
        "accounts", [[romashka(), romashka()], [replace(vasilek(), api_key="")]], ids=["two of one", "none"]
    )
    def test_each_account_needs_one_of_its_own(self, accounts: Iterable[SandboxAccount]) -> None:
        with pytest.raises(ValueError, match="a key of its own"):
            SandboxCrm([*accounts])

    async def test_an_account_is_found_by_its_key(self, asker: Asker) -> None:
        assert asker.crm.account(OTHER_KEY).account.name == "Василёк"
        with pytest.raises(KeyError):
            asker.crm.account("wrong")


def seen(path: str, arrived: float) -> SeenRequest:
    return SeenRequest(datetime.now(UTC), arrived, "POST", path, "Ромашка")


class TestRates:
    @pytest.mark.parametrize(("path", "allowed"), [(EVENT, 40), (MANAGER, 40), (VERSIONS, 10), ("/api/v5/users", 10)])
    def test_so_many_in_any_second_and_not_one_more(self, path: str, allowed: int) -> None:
        witness = Witness()
        taken = [witness.within_rate(seen(path, 100 + number / 1000), KEY) for number in range(allowed + 1)]
        assert taken == [True] * allowed + [False]
        assert not witness.within_rate(seen(path, 100.999), KEY)
        # The first one is a second old, the refused ones were never counted.
        assert witness.within_rate(seen(path, 101.0), KEY)
        assert not witness.within_rate(seen(path, 101.0005), KEY)
        assert witness.within_rate(seen(path, 101.001), KEY)
        assert [violation.path for violation in witness.violations] == [path] * 3

    def test_an_even_pace_at_the_limit_is_never_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(LIMITS, LimitClass.TELEPHONY, 32)  # a fraction of a second that has no rounding
        witness = Witness()
        assert all(witness.within_rate(seen(EVENT, number / 32), KEY) for number in range(400))
        assert witness.violations == []

    async def test_the_forty_first_telephony_request_is_refused_and_noted(
        self, asker: Asker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("amibridge.sandbox.crm_witness.WINDOW", 60.0)
        for number in range(40):
            event = ringing(callExternalId=f"pbx1:{number}")
            assert (await asker.post(EVENT, event=event))[0] == 200
        status, body = await asker.post(UPLOAD, calls=[finished()])
        assert (status, body) == (503, {"success": False, "errorMsg": "Rate limit exceeded"})
        assert asker.crm.accounts[0].calls == []
        [violation] = asker.crm.violations
        assert (violation.account, violation.limit, violation.path) == ("Ромашка", LimitClass.TELEPHONY, UPLOAD)
        assert json.loads(await asker.text("/state.json"))["counters"]["violations"] == 1
        # Everybody else, and every other method, has a share of its own.
        assert (await asker.post(EVENT, OTHER_KEY, event=ringing()))[0] == 200
        for _ in range(10):
            assert (await asker.get(VERSIONS))[0] == 200
        assert (await asker.get(VERSIONS))[0] == 503
        assert [violation.limit for violation in asker.crm.violations] == [LimitClass.TELEPHONY, LimitClass.ORDINARY]

    async def test_a_wrong_key_uses_up_nobodys_share(self, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amibridge.sandbox.crm_witness.WINDOW", 60.0)
        for _ in range(15):
            assert (await asker.get(VERSIONS, "wrong"))[0] == 403
        assert (await asker.get(VERSIONS))[0] == 200
        assert asker.crm.violations == []


class TestBodies:
    async def sent(self, asker: Asker, body: bytes, kind: str = FORM, path: str = EVENT) -> tuple[int, object]:
        headers = {"X-API-KEY": KEY, "Content-Type": kind}
        async with asker.session.post(asker.url + path, data=BytesIO(body), headers=headers) as response:
            return response.status, await response.json()

    def form(self, **changes: object) -> bytes:
        return b"event=" + quote(json.dumps(ringing(**changes), ensure_ascii=False)).encode()

    async def test_a_form_is_read_as_utf_8(self, asker: Asker) -> None:
        assert (await self.sent(asker, self.form(externalPhone="Москва")))[0] == 200
        assert asker.crm.accounts[0].popups[0].external_phone == "Москва"

    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
    async def test_what_is_no_form_has_no_fields(self, asker: Asker, kind: str) -> None:
        for body in (self.form(), json.dumps({"event": ringing()}).encode(), b"", b"\0\xff"):
            status, answer = await self.sent(asker, body, kind)
            assert (status, answer) == (400, {"success": False, "errorMsg": "Parameter 'event' is missing"})
        assert asker.crm.requests[-1].complaint == "Parameter 'event' is missing"

    @pytest.mark.parametrize(
        "body", [b"event=\xff\xfe", b"event=%FF%FE", b"event=" + "Жанна".encode("cp1251"), b"&" * 200 + b"a=1" * 101]
    )
    async def test_what_is_no_utf_8_is_refused(self, asker: Asker, body: bytes) -> None:
        status, answer = await self.sent(asker, body)
        assert (status, answer) in [
            (400, {"success": False, "errorMsg": "Errors in the input parameters"}),
            (400, {"success": False, "errorMsg": "Parameter 'event' is missing"}),
        ]
        assert asker.crm.accounts[0].popups == []

    async def test_a_thousand_fields_are_too_many(self, asker: Asker) -> None:
        status, answer = await self.sent(asker, b"&".join(b"f%d=1" % number for number in range(1000)))
        assert (status, answer) == (400, {"success": False, "errorMsg": "Errors in the input parameters"})

    async def test_five_megabytes_are_too_many(self, asker: Asker) -> None:
        status, answer = await self.sent(asker, b"event=" + b"x" * 5_000_000)
        assert (status, answer) == (413, {"success": False, "errorMsg": "Request Entity Too Large"})
        assert (asker.crm.requests[-1].status, asker.crm.requests[-1].excerpt) == (413, "")
        assert (await self.sent(asker, self.form()))[0] == 200

    async def test_of_a_field_given_twice_the_last_counts(self, asker: Asker) -> None:
        assert (await self.sent(asker, b"event=x&" + self.form()))[0] == 200
        assert (await self.sent(asker, self.form() + b"&event=x"))[0] == 400

    async def test_a_long_body_is_noted_by_its_beginning(self, asker: Asker) -> None:
        await self.sent(asker, b"event=" + b"y" * 10_000)
        assert asker.crm.requests[-1].excerpt == "event=" + "y" * (EXCERPT - 6)


async def test_every_request_is_noted_with_what_became_of_it(asker: Asker) -> None:
    await asker.post(EVENT, event=ringing())
    await asker.post(EVENT, event=ringing(phone=""))
    await asker.get("/api/v5/nowhere", OTHER_KEY)
    noted = [(one.method, one.path, one.account, one.status) for one in asker.crm.requests]
    assert noted == [
        ("POST", EVENT, "Ромашка", 200),
        ("POST", EVENT, "Ромашка", 400),
        ("GET", "/api/v5/nowhere", "Василёк", 404),
    ]
    first, second, _ = asker.crm.requests
    assert first.complaint is None
    assert first.excerpt.startswith('event={"phone": "+79161234567"')
    assert (second.complaint or "").startswith("Errors in the entity format; phone: ")
    assert first.arrived <= second.arrived
    counters = json.loads(await asker.text("/state.json"))["counters"]
    assert (counters["events"], counters["refused"]) == (1, 2)


def test_the_oldest_requests_are_forgotten() -> None:
    witness = Witness()
    witness.requests += (seen(EVENT, float(number)) for number in range(KEPT_REQUESTS + 5))
    assert (len(witness.requests), witness.requests[0].arrived) == (KEPT_REQUESTS, 5.0)
