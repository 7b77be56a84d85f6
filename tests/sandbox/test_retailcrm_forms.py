"""The models of the sandbox CRM say yes and no exactly where the contract's schemas do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from amibridge.sandbox.crm_forms import NoQuery, Refused, read_calls, read_entity, read_event, read_module
from amibridge.sandbox.crm_records import (
    CUSTOMER,
    NEW_TASK,
    NOTIFICATION,
    ORDER,
    TASK,
    AtSite,
)
from tests.retailcrm.contract import CONTRACT, validator

EVENT = {
    "phone": "+79161234567",
    "type": "hangup",
    "codes": ["101", "102"],
    "userIds": [27],
    "hangupStatus": "no answered",
    "externalPhone": "74951110001",
    "callExternalId": "pbx1:1795.1",
    "webAnalyticsData": {"campaign": {"name": "n", "code": "c"}, "queryString": "q"},
    "site": "romashka",
}
CALL = {
    "date": "2026-11-24 09:15:00",
    "type": "in",
    "phone": "8 (495) 111-00-01",
    "code": "101",
    "userId": 27,
    "result": "no answer",
    "duration": 0,
    "durationWaiting": 12,
    "externalId": "pbx1:1795.1",
    "recordUrl": "https://bridge.example.com/recordings/abc",
    "externalPhone": "74951110001",
    "source": {"source": "s", "medium": "m", "campaign": "c", "keyword": "k", "content": "c"},
    "site": "romashka",
    "clientId": "GA1.2",
}
MODULE = {
    "code": "amibridge-0123",
    "integrationCode": "amibridge",
    "active": True,
    "freeze": False,
    "name": "amibridge",
    "logo": "https://bridge.example.com/logo.svg",
    "clientId": "d0c5",
    "native": False,
    "baseUrl": "https://bridge.example.com/",
    "actions": {"activity": "/actions/activity", "settings": "/actions/settings"},
    "availableCountries": ["RU", "BY"],
    "accountUrl": "https://bridge.example.com/account",
    "integrations": {
        "telephony": {
            "makeCallUrl": "https://bridge.example.com/call",
            "changeUserStatusUrl": "https://bridge.example.com/status",
            "allowEdit": False,
            "inputEventSupported": True,
            "outputEventSupported": True,
            "hangupEventSupported": True,
            "additionalCodes": [{"userId": 27, "code": "101"}],
            "externalPhones": [{"siteCode": "romashka", "externalPhone": "74951110001"}],
        },
        "embedJs": {
            "entrypoint": "https://example.com/embed.js",
            "stylesheet": "https://example.com/embed.css",
            "targets": ["order/card:phone"],
            "runner": "worker",
            "pages": [{"code": "orders"}],
        },
    },
}

SOURCE = {"source": "s", "medium": "m", "campaign": "c", "keyword": "k", "content": "c"}
CUSTOMER_WRITE = {
    "externalId": "amibridge-1",
    "firstName": "Анна",
    "lastName": "К",
    "patronymic": "П",
    "email": "anna@example.com",
    "phones": [{"number": "8 (916) 123-45-67"}],
    "managerId": 27,
    "isContact": False,
    "createdAt": "2026-11-24 09:15:00",
    "vip": False,
    "bad": False,
    "sex": "female",
    "birthday": "1980-01-01",
    "address": {
        "index": "1", "countryIso": "RU", "region": "r", "city": "c", "cityType": "t", "street": "s", "streetType": "t",
        "building": "b", "flat": "f", "block": "b", "house": "h", "housing": "h", "metro": "m", "notes": "n",
        "text": "t",
    },
    "source": SOURCE,
    "customFields": {"code": "x"},
    "addTags": ["a"],
    "removeTags": ["b"],
    "personalDiscount": 1.5,
    "discountCardNumber": "1",
    "browserId": "b",
}  # fmt: skip
ORDER_WRITE = {
    "number": "1A",
    "externalId": "amibridge-1",
    "orderType": "eshop-individual",
    "orderMethod": "phone",
    "countryIso": "RU",
    "createdAt": "2026-11-24 09:15:00",
    "lastName": "К",
    "firstName": "Анна",
    "patronymic": "П",
    "phone": "+79161234567",
    "additionalPhone": "101",
    "email": "anna@example.com",
    "call": True,
    "customerComment": "soon",
    "managerComment": "call back",
    "managerId": 27,
    "customer": {"id": 1, "site": "romashka"},
    "status": "new",
    "statusComment": "by phone",
    "source": SOURCE,
    "items": [{"quantity": 1}],
    "customFields": {"code": "x"},
    "shipmentStore": "main",
}
NOTICE = {"type": "api.info", "message": "<p>missed</p>", "userIds": [27], "userGroups": ["manager"]}
TODO = {
    "text": "call back",
    "commentary": "soon",
    "datetime": "2026-11-24 09:15",
    "complete": False,
    "performerId": 27,
    "customer": {"id": 1, "externalId": "x", "site": "romashka"},
    "phone": "+79161234567",
    "phoneSite": "romashka",
}

MISFITS: tuple[object, ...] = (
    None, "", " ", "x", "+", "no answer", "no answered", "answered", "cancel", "unknown", "in", "hangup", "a" * 256,
    "1" * 65, "1" * 2001, "101", "+7 (916) 123-45-67", "anonymous", "код", "2026-11-24 09:15:00", "2026-11-24T09:15:00",
    "2026-11-24 24:00:00", "https://example.com/a.svg?v=1", "https://example.com/a.png", "http://example.com/x",
    "ftp://example.com/x", "RU", "ru", 0, 1, -1, 27, 1.5, True, False, [], {}, [""], ["101"], ["101", "101"], [27],
    [27, 27], [0], ["27"], [None], [{}], {"x": 1}, {"userId": "27", "code": "1"},
)  # fmt: skip

Reader = Callable[[Any], object]
FORMS: Mapping[str, tuple[dict[str, Any], Reader]] = {
    "CallEvent": (EVENT, lambda value: read_event({"event": json.dumps(value)})),
    "Call": (CALL, lambda value: read_calls({"calls": json.dumps([value])})),
    "IntegrationModule": (MODULE, lambda value: read_module({"integrationModule": json.dumps(value)})),
    "CustomerWrite": (
        CUSTOMER_WRITE,
        lambda value: read_entity("customer", {"customer": json.dumps(value)}, CUSTOMER, AtSite),
    ),
    "OrderWrite": (ORDER_WRITE, lambda value: read_entity("order", {"order": json.dumps(value)}, ORDER, AtSite)),
    "Notification": (
        NOTICE,
        lambda value: read_entity("notification", {"notification": json.dumps(value)}, NOTIFICATION, NoQuery),
    ),
    "Task": (TODO, lambda value: read_entity("task", {"task": json.dumps(value)}, TASK, AtSite)),
    "TaskCreate": (TODO, lambda value: read_entity("task", {"task": json.dumps(value)}, NEW_TASK, AtSite)),
}

STRICTER: Mapping[str, frozenset[str]] = {
    "IntegrationModule": frozenset({"accountUrl.''"}).union(
        # The contract says in words that the code begins with the integrationCode.
        f"{name}.{misfit!r}"[: 41 + len(name)]
        for name in ("code", "integrationCode")
        for misfit in MISFITS
        if isinstance(misfit, str)
    ),
}
"""Changes that the schema lets pass and we do not."""


def schema_of(name: str) -> Draft202012Validator:
    return validator({"$ref": f"#/components/schemas/{name}"})


def accepted(read: Reader, value: object) -> bool:
    try:
        read(value)
    except Refused:
        return False
    return True


def variants(value: Any) -> Iterator[tuple[str, Any]]:
    """*value* with one thing changed: left out, added or replaced, at every depth."""
    if isinstance(value, dict):
        yield "+extra", value | {"extra": "x"}
        for name, inner in value.items():
            yield f"-{name}", {other: kept for other, kept in value.items() if other != name}
            for text, changed in variants(inner):
                yield f"{name}.{text}", value | {name: changed}
    elif isinstance(value, list):
        for text, changed in variants(value[0]):
            yield f"0.{text}", [changed, *value[1:]]
    for misfit in MISFITS:
        yield repr(misfit)[:40], deepcopy(misfit)


@pytest.mark.parametrize("name", FORMS)
def test_a_full_form_is_accepted(name: str) -> None:
    value, read = FORMS[name]
    assert schema_of(name).is_valid(value)
    assert accepted(read, value)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_model_and_contract_agree_on_every_small_change(name: str) -> None:
    value, read = FORMS[name]
    contract = schema_of(name)
    verdicts = [(text, contract.is_valid(changed), accepted(read, changed)) for text, changed in variants(value)]
    assert {valid for _, valid, _ in verdicts} == {True, False}
    differing = [(text, valid) for text, valid, ours in verdicts if valid is not ours]
    assert [(text, valid) for text, valid in differing if not (valid and text in STRICTER.get(name, ()))] == []


@pytest.mark.parametrize(
    ("form", "field", "value"),
    [
        ("CallEvent", "hangupStatus", "no answer"),
        ("Call", "result", "no answered"),
        ("Call", "result", "cancel"),
        ("CallEvent", "phone", ""),
        ("Call", "phone", "anonymous"),
        ("Call", "phone", "101\n"),
        ("Call", "date", "2026-02-31 10:00:00"),
        ("Call", "date", "2026-11-24T09:15:00+03:00"),
        ("Call", "recordUrl", "https://example.com/a b"),
        ("Call", "recordUrl", "javascript:alert(1)"),
        ("Call", "duration", "187"),
        ("Call", "duration", 1.5),
        ("Call", "userId", True),
        ("Call", "code", None),
        ("CallEvent", "codes", "101"),
    ],
)
def test_a_trap_is_refused_with_the_name_of_its_field(form: str, field: str, value: object) -> None:
    good, read = FORMS[form]
    with pytest.raises(Refused) as caught:
        read(good | {field: value})
    assert caught.value.status == 400
    assert caught.value.text == "Errors in the entity format"
    assert [name.split(".")[-1] for name in caught.value.errors] == [field]


def test_the_fields_of_a_model_are_those_of_the_contract() -> None:
    for name, (value, _) in FORMS.items():
        if name == "TaskCreate":
            continue  # the fields of a Task
        assert set(value) == set(CONTRACT["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("count", [0, 1, 50, 51])
def test_an_upload_has_one_to_fifty_calls(count: int) -> None:
    calls = [CALL | {"externalId": str(number)} for number in range(count)]
    assert accepted(lambda value: read_calls({"calls": json.dumps(value)}), calls) is (1 <= count <= 50)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '"x"', "NaN", '{"phone":', "[" * 5000, '{"phone": "\\ud800"}'])
def test_what_is_no_event_at_all_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="Errors in the entity format") as caught:
        read_event({"event": text})
    assert caught.value.errors


def test_a_form_has_its_one_field_and_no_other() -> None:
    with pytest.raises(Refused, match="Parameter 'calls' is missing"):
        read_calls({})
    with pytest.raises(Refused) as caught:
        read_calls({"calls": json.dumps([CALL]), "clientId": "d0c5"})
    assert list(caught.value.errors) == ["clientId"]
