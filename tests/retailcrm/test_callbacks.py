"""What RetailCRM tells us unasked: read exactly, and an address in it followed only to RetailCRM itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from amibridge.calls.record import Extension
from amibridge.enterprises import ModuleStanding
from amibridge.retailcrm.callbacks import Activity, Move, UserStatusChange, move
from amibridge.retailcrm.users import UserStatus
from tests.store.enterprises import romashka

GOLDEN = json.loads((Path(__file__).parent / "golden" / "74-callback-activity.json").read_text("utf-8"))
HERE = romashka()


def test_the_recorded_callback_is_understood() -> None:
    form = {name: one if isinstance(one, str) else json.dumps(one) for name, one in GOLDEN["form"].items()}
    assert Activity.of(form) == Activity(active=True, frozen=False)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"active":false,"freeze":true}', Activity(False, True)),
        ('{"active":true}', Activity(True, False)),
        ('{"freeze":true,"active":true,"more":[1]}', Activity(True, True)),
    ],
)
def test_activity_is_two_truths(text: str, wanted: Activity) -> None:
    assert Activity.of({"activity": text}) == wanted
    moved = Activity.of({"activity": text, "systemUrl": "https://x.simla.com"})
    assert moved == replace(wanted, system_url="https://x.simla.com")
    assert Activity.of({"activity": text, "systemUrl": ""}) == wanted


@pytest.mark.parametrize(
    "text",
    [
        None, "", "{", "null", "[]", "true", '"active"', "{}", '{"active":"true"}', '{"active":1}', '{"active":null}',
        '{"active":true,"freeze":"false"}', '{"active":true,"freeze":null}', "[" * 30_000, "\0", '{"active":NaN}',
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str | None) -> None:
    with pytest.raises(ValueError, match="activity"):
        Activity.of({} if text is None else {"activity": text})


@pytest.mark.parametrize(("code", "wanted"), [("101", "101"), ("", None), (None, None)])
@pytest.mark.parametrize("status", UserStatus)
def test_a_users_status_is_one_of_four(status: UserStatus, code: str | None, wanted: str | None) -> None:
    form = {"clientId": "x", "userId": "27", "status": status.value} | ({} if code is None else {"code": code})
    assert UserStatusChange.of(form) == UserStatusChange(27, status, None if wanted is None else Extension(wanted))


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({}, "userId"), ({"userId": "27"}, "status"), ({"userId": "27", "status": "away"}, "status"),
        ({"userId": "27", "status": "free", "code": "1,2"}, "code"), ({"userId": "x", "status": "free"}, "userId"),
        ({"userId": str(2**63), "status": "free"}, "userId"), ({"userId": " 27", "status": "free"}, "userId"),
    ],
)  # fmt: skip
def test_any_other_status_is_refused(form: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        UserStatusChange.of(form)


@pytest.mark.parametrize(
    "url",
    [
        "https://new.retailcrm.ru", "https://new.retailcrm.pro/", "https://new-1.retailcrm.es", "https://x.simla.com",
        "https://NEW.Simla.com", "https://new.simla.com:443",
    ],
)  # fmt: skip
def test_an_account_that_moved_within_retailcrm_is_followed(url: str) -> None:
    assert move(url, HERE) == Move(url.lower().rstrip("/").removesuffix(":443"), "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://evil.example", "evil.example"),
        ("http://new.retailcrm.ru", "new.retailcrm.ru"),
        ("https://new.retailcrm.ru.evil.example", "new.retailcrm.ru.evil.example"),
        ("https://evilretailcrm.ru", "evilretailcrm.ru"),
        ("https://evil.example/new.retailcrm.ru", "evil.example"),
        ("https://evil.example?.retailcrm.ru", "evil.example"),
        ("https://evil.example#.retailcrm.ru", "evil.example"),
        ("https://evil.example\\.retailcrm.ru", "evil.example\\.retailcrm.ru"),
        ("https://new.retailcrm.ru@evil.example", "evil.example"),
        ("https://user:hush@new.retailcrm.ru", "new.retailcrm.ru"),
        ("https://new.retailcrm.ru:8443", "new.retailcrm.ru"),
        ("https://new.retailcrm.ru.", "new.retailcrm.ru."),
        ("https://a.b.retailcrm.ru", "a.b.retailcrm.ru"),
        ("https://retailcrm.ru", "retailcrm.ru"),
        ("https://-.retailcrm.ru", "-.retailcrm.ru"),
        ("https://nеw.retailcrm.ru", "nеw.retailcrm.ru"),  # a Cyrillic е
        ("https://new.retailcrm.ru/path", "new.retailcrm.ru"),
        ("http://127.0.0.1:8020", "127.0.0.1"),
        ("https://127.0.0.1", "127.0.0.1"),
        ("https://[::1", "an address that cannot be read"),
        ("javascript:alert(1)", "an address that cannot be read"),
        ("new.retailcrm.ru", "an address that cannot be read"),
        ("https://new.retailcrm.ru\nX: y", "new.retailcrm.rux"),
        ("https://" + "a" * 5000 + ".evil", None),
    ],
)
def test_no_other_address_is_ever_sent_a_key(url: str, shown: str | None) -> None:
    found = move(url, HERE)
    assert found.to is None
    assert found.unheeded
    assert found.unheeded.isprintable()
    assert len(found.unheeded) <= 200
    assert "hush" not in found.unheeded
    assert shown in (None, found.unheeded)


def test_an_address_that_is_known_is_followed_wherever_it_is() -> None:
    own = replace(HERE, account=replace(HERE.account, url="https://crm.romashka.example"))
    assert move("https://crm.romashka.example/", own) == Move(None, "")
    moved = replace(
        HERE,
        account=replace(HERE.account, url="https://new.simla.com"),
        module=ModuleStanding(moved_from="https://crm.romashka.example"),
    )
    assert move("https://crm.romashka.example", moved) == Move("", "")
    assert move("https://new.simla.com", moved) == Move(None, "")
    assert move(None, moved) == Move()
