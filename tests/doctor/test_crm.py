"""One RetailCRM account as the doctor finds it: well, and with each fault that it names. Over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from amibridge.calls.record import Extension
from amibridge.doctor.crm import crm
from amibridge.doctor.findings import Finding, Level
from amibridge.enterprises import Account, Enterprise, Line, MissedCalls, Operator
from amibridge.redact import Secret
from amibridge.retailcrm.rights import needed
from amibridge.sandbox.crm_faults import BadGateway, Nonsense
from amibridge.sandbox.retailcrm import SandboxCrm, SandboxUser
from tests.doctor.looking import Told, all_of, by_about, unwell
from tests.doctor.shop import registered
from tests.sandbox.crm_asker import KEY, romashka
from tests.store.enterprises import romashka as enterprise

CREDENTIALS, VERSIONS = "/api/credentials", "/api/api-versions"
SETTINGS, USERS = "/api/v5/settings", "/api/v5/users"
MODULE = "/api/v5/integration-modules/amibridge-0123"
ALL_WELL: Mapping[str, tuple[int, Any]] = {
    CREDENTIALS: (
        200,
        {
            "success": True,
            "scopes": [*needed(enterprise())],
            "siteAccess": "access_selective",
            "sitesAvailable": ["romashka"],
        },
    ),
    VERSIONS: (200, {"success": True, "versions": ["3.0", "4.0", "5.0"]}),
    SETTINGS: (200, {"success": True, "settings": {"timezone": {"value": "Europe/Minsk"}}}),
    USERS: (
        200,
        {
            "success": True,
            "pagination": {"totalPageCount": 1},
            "users": [{"id": 27, "active": True}, {"id": 31, "active": True}],
        },
    ),
    MODULE: (200, {"success": True, "integrationModule": {"code": "amibridge-0123", "active": True}}),
}
"""What a content account answers, as the contract has it."""

ABOUT = {"CRM key", "CRM rights", "CRM stores", "CRM clock", "CRM API", "CRM time zone", "CRM users", "CRM module"}


def of(url: str, key: str = KEY, **changes: Any) -> Enterprise:
    return replace(enterprise(), account=Account(url, Secret(key), "romashka"), **changes)


async def found_at(answers: Mapping[str, Any], **changes: Any) -> list[Finding]:
    async with Told({**ALL_WELL, **answers}).serve() as url:
        site = changes.pop("site", "romashka")
        asking = of(url, **changes)
        return await all_of(crm(replace(asking, account=replace(asking.account, site=site))))


async def test_all_is_well_with_the_sandbox() -> None:
    sandbox = SandboxCrm([romashka()])
    async with sandbox.serve() as url:
        registered(sandbox.account(KEY), of(url))
        found = await all_of(crm(of(url)))
    assert unwell(found) == []
    assert set(by_about(found)) == ABOUT
    assert sandbox.violations == []
    assert {seen.method for seen in sandbox.requests} == {"GET"}


async def test_all_is_well_with_what_the_other_tests_change() -> None:
    assert unwell(await found_at({})) == []


class TestTheWay:
    async def test_nobody_there(self, unused_tcp_port: int) -> None:
        [failed] = await all_of(crm(of(f"http://127.0.0.1:{unused_tcp_port}")))
        assert (failed.level, failed.found) == (
            Level.FAIL,
            f"http://127.0.0.1:{unused_tcp_port}: no connection: Connection refused",
        )

    async def test_no_such_name(self) -> None:
        [failed] = await all_of(crm(of("https://romashka.invalid")))
        assert failed.found == "https://romashka.invalid: its name has no address"

    async def test_a_certificate_that_nobody_believes(self, tmp_path: Path) -> None:
        async with Told(ALL_WELL).serve(self_signed(tmp_path)) as url:
            [failed] = await all_of(crm(of(url)))
        assert failed.found == f"{url}: its TLS certificate is not believed: self-signed certificate"

    async def test_no_tls_where_it_should_be(self) -> None:
        async with Told(ALL_WELL).serve() as url:
            [failed] = await all_of(crm(of(url.replace("http", "https"))))
        assert failed.found.endswith(": it does not speak TLS")

    @pytest.mark.parametrize("fault", [BadGateway(), Nonsense()])
    async def test_an_answer_that_makes_no_sense(self, fault: Any) -> None:
        sandbox = SandboxCrm([romashka()])
        sandbox.faults.give(fault)
        async with sandbox.serve() as url:
            [failed] = await all_of(crm(of(url)))
        assert (failed.level, failed.about) == (Level.FAIL, "CRM")


class TestTheKey:
    async def test_a_wrong_one(self) -> None:
        async with SandboxCrm([romashka()]).serve() as url:
            [failed] = await all_of(crm(of(url, key="hush-hush-wrong")))
        assert (failed.level, failed.about) == (Level.FAIL, "CRM key")
        assert 'Wrong "apiKey" value.' in failed.found
        assert "hush" not in f"{failed}"

    async def test_no_such_account(self) -> None:
        found = await found_at({CREDENTIALS: (404, {"success": False, "errorMsg": "Account does not exist."})})
        assert [(one.level, one.about) for one in found] == [(Level.FAIL, "CRM key")]

    async def test_the_right_to_tell_is_missing(self) -> None:
        body = {"success": True, "scopes": ["order_read"], "sitesAvailable": ["romashka"]}
        [(level, about, found)] = unwell(await found_at({CREDENTIALS: (200, body)}))
        assert (level, about) == (Level.FAIL, "CRM rights")
        assert found.startswith("telephony_write is missing")

    async def test_other_rights_are_missing(self) -> None:
        body = {
            "success": True,
            "scopes": sorted({*needed(enterprise())} - {"customer_read"}),
            "sitesAvailable": ["romashka"],
        }
        [(level, about, found)] = unwell(await found_at({CREDENTIALS: (200, body)}))
        assert (level, about) == (Level.WARN, "CRM rights")
        assert found.startswith("customer_read missing")

    async def test_a_key_that_may_not_ask_for_its_rights_is_asked_for_the_rest(self) -> None:
        found = await found_at({CREDENTIALS: (403, {"success": False, "errorMsg": "Access denied."})})
        assert by_about(found)["CRM rights"] is Level.WARN
        assert by_about(found)["CRM time zone"] is Level.OK


class TestStores:
    @pytest.mark.parametrize(
        ("reached", "access", "site", "line", "level"),
        [
            (["romashka", "vasilek"], "access_selective", "romashka", "vasilek", Level.OK),
            (["romashka"], "access_selective", None, "romashka", Level.OK),
            ([], "access_full", "romashka", "romashka", Level.OK),
            (["romashka", "vasilek"], "access_selective", None, None, Level.WARN),
            (["vasilek"], "access_selective", "romashka", None, Level.FAIL),
            (["romashka"], "access_full", "romashka", "Romashka", Level.FAIL),
            ([], "access_selective", "romashka", None, Level.FAIL),
        ],
    )
    async def test_what_the_key_reaches_beside_what_the_file_names(
        self, reached: list[str], access: str, site: str | None, line: str | None, level: Level
    ) -> None:
        body = {"success": True, "scopes": [*needed(enterprise())], "siteAccess": access, "sitesAvailable": reached}
        lines = {"74951110001": Line("74951110001", line)}
        found = await found_at({CREDENTIALS: (200, body)}, site=site, lines=lines)
        assert by_about(found)["CRM stores"] is level


class TestApi:
    @pytest.mark.parametrize(
        ("answer", "level"),
        [((200, {"success": True, "versions": ["3.0", "4.0"]}), Level.FAIL), ((404, "<html>"), Level.WARN)],
    )
    async def test_without_version_five(self, answer: tuple[int, Any], level: Level) -> None:
        assert by_about(await found_at({VERSIONS: answer}))["CRM API"] is level


class TestTime:
    @pytest.mark.parametrize(("ahead", "level"), [(0, Level.OK), (-20, Level.WARN), (3600, Level.FAIL)])
    async def test_its_clock(self, ahead: int, level: Level) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        found = await found_at({CREDENTIALS: (*ALL_WELL[CREDENTIALS], {"Date": date})})
        assert by_about(found)["CRM clock"] is level

    @pytest.mark.parametrize("date", ["", "yesterday", "\tThu, 99 Jan 99999 00:00:00"])
    async def test_a_date_that_is_none_is_nothing_to_compare(self, date: str) -> None:
        found = await found_at({CREDENTIALS: (*ALL_WELL[CREDENTIALS], {"Date": date})})
        assert "CRM clock" not in by_about(found)

    @pytest.mark.parametrize(
        ("ours", "theirs", "level"),
        [
            ("Europe/Minsk", "Europe/Minsk", Level.OK),
            ("Europe/Minsk", "Europe/Moscow", Level.OK),
            (None, "Asia/Vladivostok", Level.OK),
            ("Europe/Minsk", "Asia/Vladivostok", Level.FAIL),
        ],
    )
    async def test_its_time_zone_beside_ours(self, ours: str | None, theirs: str, level: Level) -> None:
        settings = {"success": True, "settings": {"timezone": {"value": theirs}}}
        zone = ZoneInfo(ours) if ours else None
        assert by_about(await found_at({SETTINGS: (200, settings)}, time_zone=zone))["CRM time zone"] is level

    @pytest.mark.parametrize(("ours", "level"), [("Europe/Minsk", Level.OK), (None, Level.FAIL)])
    async def test_a_zone_that_it_does_not_tell(self, ours: str | None, level: Level) -> None:
        denied = (403, {"success": False, "errorMsg": "Access denied."})
        zone = ZoneInfo(ours) if ours else None
        assert by_about(await found_at({SETTINGS: denied}, time_zone=zone))["CRM time zone"] is level


class TestUsers:
    @pytest.mark.parametrize(
        ("users", "level", "words"),
        [
            ([{"id": 27, "active": True}], Level.FAIL, "there is no user 31 (of 102)"),
            (
                [{"id": 27, "active": True}, {"id": "31", "active": False}],
                Level.WARN,
                "not active any more: 31 (of 102)",
            ),
        ],
    )
    async def test_each_that_the_file_names(self, users: list[object], level: Level, words: str) -> None:
        body = {"success": True, "pagination": {"totalPageCount": 1}, "users": users}
        assert unwell(await found_at({USERS: (200, body)})) == [(level, "CRM users", words)]

    async def test_a_key_that_may_not_read_them(self) -> None:
        denied = (403, {"success": False, "errorMsg": "Access denied."})
        assert by_about(await found_at({USERS: denied}))["CRM users"] is Level.WARN

    async def test_nobody_named_is_nothing_to_ask(self) -> None:
        operators = {Extension("101"): Operator(Extension("101"))}
        found = await found_at({USERS: (500, "")}, operators=operators)
        assert by_about(found)["CRM users"] is Level.OK

    async def test_more_than_a_page(self) -> None:
        sandbox = SandboxCrm([replace(romashka(), users=[*many(150), *romashka().users])])
        async with sandbox.serve() as url:
            found = await all_of(crm(of(url)))
        assert by_about(found)["CRM users"] is Level.OK


NO_MODULE = "there is no amibridge-0123: without one neither popups nor calls are taken"


class TestModule:
    @pytest.mark.parametrize(
        ("module", "words"),
        [
            ({"active": False}, "amibridge-0123 is switched off: nothing is sent"),
            (
                {"active": True, "freeze": True},
                "amibridge-0123 is frozen by RetailCRM: its bills are not paid",
            ),
        ],
    )
    async def test_one_that_does_not_work(self, module: dict[str, bool], words: str) -> None:
        body = {"success": True, "integrationModule": {"code": "amibridge-0123", **module}}
        assert unwell(await found_at({MODULE: (200, body)})) == [(Level.FAIL, "CRM module", words)]

    @pytest.mark.parametrize(
        ("status", "text", "words"),
        [
            (
                400,
                "Errors in the input parameters",
                NO_MODULE,
            ),
            (404, "Not found", NO_MODULE),
            (400, "Go away", "amibridge-0123 could not be asked for: Go away (HTTP 400)"),
            (403, "Access denied.", "amibridge-0123 could not be asked for: Access denied. (HTTP 403)"),
            (200, "", "amibridge-0123 could not be asked for: an answer without `success: true` (HTTP 200)"),
        ],
    )
    async def test_one_that_is_not_there_or_not_told(self, status: int, text: str, words: str) -> None:
        found = await found_at({MODULE: (status, {"success": False, "errorMsg": text})})
        assert unwell(found) == [(Level.WARN, "CRM module", words)]


def many(count: int) -> list[Any]:
    return [SandboxUser(1000 + number, f"User {number}") for number in range(count)]


def self_signed(folder: Path) -> ssl.SSLContext:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


class TestMissedCalls:
    async def test_who_gets_the_tasks_is_a_user_too(self) -> None:
        wanted = {"create_tasks": True, "missed_calls": MissedCalls(performer=44)}
        body = {**ALL_WELL[CREDENTIALS][1], "scopes": [*needed(replace(enterprise(), create_tasks=True))]}
        found = unwell(await found_at({CREDENTIALS: (200, body)}, **wanted))
        assert found == [(Level.FAIL, "CRM users", "there is no user 44 (of performer)")]

    async def test_the_right_to_tasks_is_needed_where_they_are_wanted(self) -> None:
        found = unwell(await found_at({}, create_tasks=True))
        assert [(level, about) for level, about, _ in found] == [(Level.WARN, "CRM rights")]
        assert found[0][2].startswith("task_read, task_write missing")

    async def test_the_words_of_orders_are_those_of_the_account(self) -> None:
        wishes = MissedCalls(order_method="missed-call", order_type="eshop-individual", order_status="new")
        strange = replace(wishes, order_method="pigeon", order_status_reached="gone")
        async with SandboxCrm([romashka()]).serve() as url:
            assert by_about(await all_of(crm(of(url, missed_calls=wishes))))["CRM orders"] is Level.OK
            found = [one for one in unwell(await all_of(crm(of(url, missed_calls=strange)))) if one[1] == "CRM orders"]
        assert found == [
            (Level.FAIL, "CRM orders", "the account has no order_method: pigeon, order_status_reached: gone")
        ]

    async def test_without_the_right_to_read_them_it_says_so(self) -> None:
        found = unwell(await found_at({}, missed_calls=MissedCalls(order_status="new")))
        assert [(level, about) for level, about, _ in found] == [(Level.WARN, "CRM orders")]
