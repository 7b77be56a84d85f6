"""The module as it should stand in the CRM, and what is otherwise there: nothing that people entered is ever lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Line, Operator
from amibridge.redact import Secret
from amibridge.retailcrm.module_wish import (
    Difference,
    check_reachable,
    differences,
    merged,
    module_code,
    wished,
    without_secrets,
)
from amibridge.retailcrm.modules import IntegrationModule, ModuleReply, SitePhone, Telephony, UserCode
from tests.store.enterprises import romashka

SECRET = "hush-hush-hush-hush-0123"
PUBLIC = "https://bridge.example.com"
OURS: Enterprise = replace(romashka(), webhook_secret=Secret(SECRET))
GOLDEN = Path(__file__).parent / "golden"


def operators(*pairs: tuple[str, int | None]) -> dict[Extension, Operator]:
    return {Extension(one): Operator(Extension(one), user) for one, user in pairs}


def known(codes: Sequence[tuple[int, str]] = (), phones: Sequence[tuple[str, str]] = ()) -> IntegrationModule:
    """Our module as the CRM has it, with these entered by whomever."""
    wish = wished(OURS, PUBLIC, None)
    assert wish.telephony is not None
    telephony = replace(
        wish.telephony,
        codes=tuple(UserCode(*one) for one in codes),
        phones=tuple(SitePhone(*one) for one in phones),
    )
    return replace(wish, telephony=telephony)


def codes_of(module: IntegrationModule) -> list[tuple[int, str]] | None:
    assert module.telephony is not None
    return None if module.telephony.codes is None else [(one.user_id, one.code) for one in module.telephony.codes]


def phones_of(module: IntegrationModule) -> list[tuple[str, str]] | None:
    assert module.telephony is not None
    return None if module.telephony.phones is None else [(one.site, one.phone) for one in module.telephony.phones]


def test_a_module_that_is_not_there_is_wished_whole() -> None:
    path = f"/retailcrm/{SECRET}"
    assert wished(OURS, PUBLIC, None).fields() == {
        "code": "amibridge-0123",
        "integrationCode": "amibridge",
        "active": True,
        "name": "amibridge",
        "logo": f"{PUBLIC}/retailcrm/logo.svg",
        "clientId": "client-of-0123",
        "baseUrl": PUBLIC,
        "actions": {"activity": f"{path}/activity", "settings": f"{path}/settings"},
        "accountUrl": f"{PUBLIC}/retailcrm",
        "integrations": {
            "telephony": {
                "makeCallUrl": f"{PUBLIC}{path}/call",
                "changeUserStatusUrl": f"{PUBLIC}{path}/status",
                "inputEventSupported": True,
                "outputEventSupported": True,
                "hangupEventSupported": True,
                "additionalCodes": [{"userId": 27, "code": "101"}, {"userId": 31, "code": "102"}],
                "externalPhones": [{"siteCode": "romashka", "externalPhone": "74951110001"}],
            }
        },
    }
    assert differences(wished(OURS, PUBLIC, None), None) == (Difference("code", "amibridge-0123", None),)


def test_below_a_path_of_our_own_addresses_are_right_however_the_crm_joins_them() -> None:
    wish = wished(OURS, f"{PUBLIC}/phones", None)
    assert (wish.base_url, wish.activity) == (PUBLIC, f"/phones/retailcrm/{SECRET}/activity")
    assert wish.account_url == f"{PUBLIC}/phones/retailcrm"
    assert wish.telephony is not None
    assert wish.telephony.make_call_url == f"{PUBLIC}/phones/retailcrm/{SECRET}/call"


@pytest.mark.parametrize(
    ("theirs", "file", "wanted"),
    [
        # Whom the file does not mention keeps what was entered.
        ([(50, "150")], [], [(50, "150")]),
        ([(50, "150")], [("101", 27)], [(50, "150"), (27, "101")]),
        # Whom it mentions has what it says.
        ([(27, "105"), (50, "150")], [("101", 27)], [(50, "150"), (27, "101")]),
        ([(27, "101")], [("101", 27)], [(27, "101")]),
        # An operator without a user is nobody the CRM knows by a number.
        ([(27, "105")], [("101", None)], [(27, "105")]),
        # Of several that the file allows, the one that is there stays, or the first is given.
        ([(27, "102")], [("101", 27), ("102", 27)], [(27, "102")]),
        ([], [("102", 27), ("101", 27)], [(27, "101")]),
        ([(27, "102"), (27, "109")], [("101", 27), ("102", 27)], [(27, "102")]),
        # A code of somebody whom the file does not mention is not taken from him; `users` shows it.
        ([(50, "101")], [("101", 27)], [(50, "101"), (27, "101")]),
        # Nothing to say is not said: an empty list would wipe what is there.
        ([], [], None),
    ],
)
def test_codes_are_never_lost(
    theirs: list[tuple[int, str]], file: list[tuple[str, int | None]], wanted: list[tuple[int, str]] | None
) -> None:
    enterprise = replace(OURS, operators=operators(*file))
    wish = wished(enterprise, PUBLIC, known(theirs))
    assert codes_of(wish) == wanted
    # Written, it is as wished: a second time there is nothing to write.
    written = IntegrationModule.of(json.loads(json.dumps(wish.fields())))
    assert wished(enterprise, PUBLIC, written).fields() == wish.fields()
    assert differences(wished(enterprise, PUBLIC, written), written) == ()


@pytest.mark.parametrize(
    ("theirs", "lines", "wanted"),
    [
        ([("other", "74952220002")], {}, [("other", "74952220002")]),
        ([("romashka", "+7 495 111-00-01")], {"74951110001": "romashka"}, [("romashka", "+7 495 111-00-01")]),
        ([("romashka", "74959")], {"74951110001": "romashka"}, [("romashka", "74951110001")]),
        ([], {"2": "romashka", "1": "romashka"}, [("romashka", "1")]),
        ([], {"74951110001": None}, None),
    ],
)
def test_phones_of_stores_are_never_lost(
    theirs: list[tuple[str, str]], lines: dict[str, str | None], wanted: list[tuple[str, str]] | None
) -> None:
    enterprise = replace(OURS, lines={number: Line(number, site) for number, site in lines.items()})
    assert phones_of(wished(enterprise, PUBLIC, known(phones=theirs))) == wanted


def test_whatever_is_there_and_not_ours_is_sent_back_as_it_was() -> None:
    there = replace(
        known(), frozen=True, native=False, countries=("RU",), others={"embedJs": {"entrypoint": "https://x.example/"}}
    )
    assert there.telephony is not None
    there = replace(there, telephony=replace(there.telephony, allow_edit=False))
    wish = wished(OURS, PUBLIC, there)
    assert (wish.frozen, wish.native, wish.countries, wish.others) == (True, False, ("RU",), there.others)
    assert wish.telephony is not None
    assert wish.telephony.allow_edit is False


def test_another_code_takes_over_what_another_service_registered() -> None:
    enterprise = replace(OURS, module_code="vendor-telephony", client_id="0123")
    theirs = IntegrationModule(
        code="vendor-telephony",
        integration_code="vendor",
        name="Vendor",
        client_id="0123",
        base_url="https://old.example.com",
        account_url="https://old.example.com/admin",
        logo="https://old.example.com/logo.svg",
        telephony=Telephony("https://old.example.com/retailcrm/make-call", codes=(UserCode(50, "150"),)),
    )
    wish = wished(enterprise, PUBLIC, theirs)
    assert (wish.code, wish.integration_code, wish.client_id) == ("vendor-telephony", "vendor", "0123")
    assert codes_of(wish) == [(50, "150"), (27, "101"), (31, "102")]
    assert {one.what for one in differences(wish, theirs)} == {
        "name", "baseUrl", "accountUrl", "logo", "actions.activity", "actions.settings", "makeCallUrl",
        "changeUserStatusUrl", "code of user 27", "code of user 31", "externalPhone of site romashka",
    }  # fmt: skip
    # Nobody registered it before: its kind is its own.
    assert wished(enterprise, PUBLIC, None).integration_code == "vendor-telephony"


@pytest.mark.parametrize(
    ("code", "number", "wanted"),
    [
        (None, "0123", "amibridge-0123"),
        ("vendor-telephony", "0123", "vendor-telephony"),
        (None, "a_b", "amibridge-a_b"),
    ],
)
def test_each_enterprise_has_a_module_of_its_own(code: str | None, number: str, wanted: str) -> None:
    enterprise = replace(romashka(number), module_code=code)
    assert module_code(enterprise) == wanted
    wish = wished(enterprise, PUBLIC, None)
    assert wish.code.startswith(wish.integration_code)
    wish.fields()


def test_each_difference_is_told_by_its_name_and_without_a_secret() -> None:
    there = known([(27, "109"), (31, "102"), (50, "150")], [("romashka", "74951110001")])
    assert there.telephony is not None
    other = SECRET.replace("0123", "9999")
    there = replace(
        there,
        active=False,
        frozen=True,
        name="PBX",
        base_url=f"{PUBLIC}/",
        activity=f"/retailcrm/{other}/activity",
        telephony=replace(there.telephony, hangup_events=False, make_call_url=f"http://old/{other}/call?token={other}"),
    )
    found = {one.what: one for one in differences(wished(OURS, PUBLIC, there), there)}
    assert found == {
        "freeze": Difference("freeze", False, True, ours=False),
        "active": Difference("active", True, False),
        "name": Difference("name", "amibridge", "PBX"),
        "actions.activity": Difference("actions.activity", "/retailcrm/******/activity", "/retailcrm/******/activity"),
        "makeCallUrl": Difference("makeCallUrl", f"{PUBLIC}/retailcrm/******/call", "http://old/******/call?******"),
        "hangupEventSupported": Difference("hangupEventSupported", True, False),
        "code of user 27": Difference("code of user 27", "101", "109"),
    }
    assert SECRET not in str(found)
    assert other not in str(found)


def test_a_module_without_telephony_lacks_all_of_it() -> None:
    there = replace(known(), telephony=None)
    lacking = {one.what for one in differences(wished(OURS, PUBLIC, there), there)}
    assert {"makeCallUrl", "inputEventSupported", "code of user 27", "externalPhone of site romashka"} <= lacking


def test_a_client_id_that_the_crm_keeps_to_itself_is_no_difference() -> None:
    """As in the answer that RetailCRM's own client recorded."""
    recorded = json.loads((GOLDEN / "07-integration-module-get.json").read_text("utf-8"))
    assert ModuleReply.of(recorded["response"]).module.client_id == ""
    assert differences(wished(OURS, PUBLIC, there := replace(known(), client_id="")), there) == tuple(
        one for one in differences(wished(OURS, PUBLIC, known()), known())
    )
    other = replace(known(), client_id="another")
    assert "clientId" in {one.what for one in differences(wished(OURS, PUBLIC, other), other)}


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (None, None),
        ("", None),
        (True, True),
        ("amibridge", "amibridge"),
        ("https://a.example/x/" + "s" * 16, "https://a.example/x/******"),
        ("https://a.long-host-of-many-letters.example/x", "https://a.long-host-of-many-letters.example/x"),
        ("https://user:pass@a.example/x?key=1", "https://a.example/x?******"),
        ("/" + "eyJhbGciOi.eyJzdWIi.c2ln" + "/call", "/******/call"),
    ],
)
def test_what_may_be_a_secret_is_stars(shown: str | bool | None, wanted: str | bool | None) -> None:
    assert without_secrets(shown) == wanted


@pytest.mark.parametrize(
    ("public", "crm", "says"),
    [
        ("https://bridge.example.com", "https://romashka.retailcrm.ru", None),
        ("http://127.0.0.1:8019", "http://127.0.0.1:8020", None),
        ("https://bridge.example.com", "http://localhost:8020", None),
        ("http://bridge.example.com", "https://romashka.retailcrm.ru", "only https"),
        ("http://127.0.0.1:8019", "https://romashka.retailcrm.ru", "127.0.0.1"),
        ("https://localhost", "https://romashka.retailcrm.ru", "localhost"),
        ("https://[::1]:8019", "https://romashka.retailcrm.ru", "::1"),
    ],
)
def test_an_address_that_the_crm_cannot_ask_is_refused(public: str, crm: str, says: str | None) -> None:
    if says is None:
        check_reachable(public, crm)
    else:
        with pytest.raises(ValueError, match=says):
            check_reachable(public, crm)


def test_a_crm_on_this_machine_may_be_told_an_address_here_without_tls_and_no_other() -> None:
    wished(OURS, "http://127.0.0.1:8019", None).fields()
    with pytest.raises(ValueError, match="https"):
        wished(OURS, "http://127.0.0.1.evil.example", None).fields()


def test_merging_keeps_the_order_of_what_is_there() -> None:
    assert merged([(3, "c"), (1, "a"), (2, "b")], {1: ["A", "a"], 4: ["d"]}, str) == [
        (3, "c"), (1, "a"), (2, "b"), (4, "d"),
    ]  # fmt: skip
