"""Recorded requests and answers of RetailCRM's own clients: ours are the same, and theirs are understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from amibridge.retailcrm.errors import (
    CrmBroken,
    CrmBusy,
    CrmError,
    CrmForbids,
    CrmLockedOut,
    CrmMissing,
    CrmRefused,
)
from amibridge.retailcrm.requests import Request, settings
from amibridge.retailcrm.responses import read
from tests.retailcrm.contract import assert_allowed
from tests.retailcrm.golden_verbs import NOT_OURS, NOT_SENT, VERBS

FOLDER = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REFUSALS: dict[str, type[CrmError]] = {
    "11-integration-module-edit-empty-code-404": CrmRefused,
    "12-integration-module-get-400": CrmRefused,
    "18-credentials-wrong-key-403": CrmLockedOut,
    "19-wrong-key-python-mock": CrmLockedOut,
    "20-missing-key": CrmLockedOut,
    "21-account-does-not-exist-404": CrmLockedOut,
    "22-account-does-not-exist-400": CrmLockedOut,
    "30-customers-edit-404": CrmMissing,
    "32-customers-get-404": CrmMissing,
    "37-customers-history-400": CrmRefused,
    "38-customers-list-400": CrmBroken,
    "46-orders-edit-404": CrmMissing,
    "51-orders-history-400": CrmRefused,
    "55-users-status-404": CrmMissing,
    "56-users-list-400": CrmRefused,
    "64-error-503-rate-limit": CrmBusy,
    "65-error-405-json": CrmRefused,
    "68-error-map": CrmRefused,
    "69-error-access-denied": CrmForbids,
    "70-error-validation": CrmRefused,
    "71-error-missing-parameter": CrmRefused,
    "73-error-not-found-combined": CrmMissing,
}


def golden(name: str) -> dict[str, Any]:
    pair: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return pair


def test_every_golden_file_is_a_test() -> None:
    known = [*REFUSALS, *VERBS, *NOT_SENT, *NOT_OURS]
    assert sorted(known) == sorted({path.stem for path in FOLDER.iterdir()})


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_what_to_do_next(name: str) -> None:
    pair = golden(name)
    body = json.dumps(pair["response"]).encode()
    # Two sources test the body alone and give no status: the text must be enough under any.
    for status in (400, 200) if pair["status"] is None else (pair["status"],):
        with pytest.raises(CrmError) as caught:
            read(settings(), status, {}, body, NOW)
        assert type(caught.value) is REFUSALS[name]
        assert caught.value.status == status


def test_a_merged_customer_is_found_in_the_refusal() -> None:
    pair = golden("73-error-not-found-combined")
    with pytest.raises(CrmMissing) as caught:
        read(settings(), pair["status"], {}, json.dumps(pair["response"]).encode(), NOW)
    assert caught.value.combined_to == 1


def said(request: Request[Any]) -> dict[str, Any]:
    """What goes over the wire, as the recordings write it down."""
    address, body, headers = request.encoded()
    fields = dict(parse_qsl((body or b"").decode("ascii")))
    return {
        "method": request.method,
        "path": urlsplit(address).path,
        "query": dict(parse_qsl(urlsplit(address).query)),
        "headers": headers,
        "form": {
            name: value if isinstance(request.form[name], str) else json.loads(value) for name, value in fields.items()
        },
    }


DEFAULTS = {"limit": "20", "page": "1"}
"""What we say in so many words, and a recording may leave out."""


@pytest.mark.parametrize("name", VERBS)
def test_request_is_the_recorded_one(name: str) -> None:
    request, _ = VERBS[name]
    pair, ours = golden(name), said(request)
    assert_allowed(request)
    assert (ours["method"], ours["path"]) == (pair["method"], pair["path"])
    assert ours["headers"] == {header: value for header, value in pair["headers"].items() if header != "X-API-KEY"}
    assert ours["form"] == pair.get("form", {})
    assert ours["query"] in (pair["query"], DEFAULTS | pair["query"])


@pytest.mark.parametrize("name", NOT_SENT)
def test_what_amibridge_leaves_out_is_known_by_name(name: str) -> None:
    request, left_out, _ = NOT_SENT[name]
    pair, ours = golden(name), said(request)
    assert_allowed(request)
    assert (ours["method"], ours["path"]) == (pair["method"], pair["path"])
    theirs, told = flat(pair), flat(ours)
    assert {part for part, value in theirs.items() if told.get(part) != value} == left_out
    assert told.keys() - DEFAULTS.keys() <= theirs.keys()


def flat(pair: dict[str, Any]) -> dict[str, Any]:
    """Query, plain fields and the fields of the one record in a form, side by side."""
    parts = dict(pair["query"])
    for name, value in pair.get("form", {}).items():
        record = value[0] if isinstance(value, list) else value
        parts |= record if isinstance(record, dict) else {name: value}
    return parts


@pytest.mark.parametrize("name", [*VERBS, *NOT_SENT])
def test_answer_is_read(name: str) -> None:
    request, expected = VERBS[name] if name in VERBS else (NOT_SENT[name][0], NOT_SENT[name][2])
    pair = golden(name)
    reply = read(request, pair["status"], {}, json.dumps(pair["response"]).encode(), NOW)
    assert expected(reply) if callable(expected) else reply == expected


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_clients_mock_is_no_answer_of_the_crm(name: str) -> None:
    """It says ``success: "true"``, which no server was seen to say."""
    request = NOT_OURS[name]
    pair = golden(name)
    if request is not None:
        with pytest.raises(CrmBroken):
            read(request, pair["status"], {}, json.dumps(pair["response"]).encode(), NOW)
