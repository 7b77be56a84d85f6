"""What an operator reads after applying a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.enterprises import Account, Credit, HostName, Line, MissedCalls, Operator, ResponsibleSettings
from amibridge.redact import Secret
from amibridge.store.changes import changes
from tests.store.enterprises import host, romashka

OLD = replace(
    romashka(),
    missed_calls=MissedCalls(
        timedelta(minutes=5), ("+375291111111",), 40, "Не дозвонились", timedelta(minutes=30), "m", "t"
    ),
)


def test_a_new_enterprise_is_told_with_all_that_is_in_it() -> None:
    assert changes(None, OLD) == [
        "enterprise added",
        "host pbx1 added",
        "operator 101 added",
        "operator 102 added",
        "line 74951110001 added",
    ]


def test_the_same_is_no_change() -> None:
    assert changes(romashka(), romashka()) == []
    assert changes(OLD, replace(OLD)) == []


def test_the_order_of_hosts_is_no_change() -> None:
    one, other = host(), host(name="pbx2")
    assert changes(replace(OLD, hosts=(one, other)), replace(OLD, hosts=(other, one))) == []


def test_every_field_that_differs_is_named_with_both_values() -> None:
    new = replace(
        OLD,
        name="Лютик",
        account=Account("https://other.retailcrm.ru", Secret("hush-other"), None),
        client_id="another",
        webhook_secret=Secret("hush-other"),
        time_zone=ZoneInfo("Europe/Moscow"),
        region="RU",
        credit=Credit.FIRST,
        create_customers=True,
        create_orders=False,
        recordings_keep=timedelta(days=365),
        links_valid=timedelta(days=90),
        supervisors=(Extension("100"),),
        responsible=ResponsibleSettings(name=()),
        create_tasks=True,
        missed_calls=MissedCalls(
            timedelta(0), (), 41, "x", timedelta(hours=2), "phone", "legal", "new", "client-confirmed"
        ),
    )
    said = changes(OLD, new)
    assert said == [
        "name changed from Ромашка to Лютик",
        "time zone changed from Europe/Minsk to Europe/Moscow",
        "region changed from BY to RU",
        "client id changed from client-of-0123 to another",
        "CRM address changed from https://romashka.retailcrm.ru to https://other.retailcrm.ru",
        "site changed from romashka to none",
        "credit changed from last to first",
        "create customers changed from no to yes",
        "create orders changed from yes to no",
        "create tasks changed from no to yes",
        "recordings kept changed from none to 365 days",
        "links valid changed from none to 90 days",
        "supervisors changed from none to 100",
        "responsible mode changed from name to off",
        "responsible dialplan changed from to-{extension} to mngr{extension}_{line}_1",
        "responsible fallback changed from last_call to none",
        "responsible name changed from line, customer to none",
        "wait after a missed call changed from 0:05:00 to 0:00:00",
        "never for changed from +375291111111 to none",
        "performer changed from 40 to 41",
        "text of missed calls changed from Не дозвонились to x",
        "task within changed from 0:30:00 to 2:00:00",
        "order method changed from m to phone",
        "order type changed from t to legal",
        "order status changed from none to new",
        "order status when reached changed from none to client-confirmed",
        "api key changed",
        "webhook secret changed",
    ]
    assert changes(OLD, replace(OLD, time_zone=None)) == ["time zone changed from Europe/Minsk to none"]


def test_hosts_operators_and_lines_come_go_and_change() -> None:
    changed = replace(
        host(secret="hush-other"),
        port=5039,
        numbering=Numbering(r"^\d{3}$", (), "BY"),
        recordings=None,
        username="other",
        originate_channel="PJSIP/{extension}",
        originate_context="inside",
        recordings_password=Secret("hush-recordings"),
        originate_number=Dialling.DIGITS,
    )
    new = replace(
        OLD,
        hosts=(changed, host(name="pbx2")),
        operators={
            Extension("101"): Operator(Extension("101"), 28, None),
            Extension("103"): Operator(Extension("103")),
        },
        lines={"74951110001": Line("74951110001", "romashka", "Питер")},
    )
    assert changes(OLD, new) == [
        "host pbx1: address changed from 10.0.0.5:5038 to 10.0.0.5:5039",
        "host pbx1: username changed from amibridge to other",
        "host pbx1: trunks changed from PJSIP/provider, SIP/00013* to none",
        "host pbx1: originate channel changed from Local/{extension}@from-internal/n to PJSIP/{extension}",
        "host pbx1: originate context changed from from-internal to inside",
        "host pbx1: originate number changed from as_given to digits",
        "host pbx1: recordings changed from /var/spool/asterisk/monitor to none",
        "host pbx1: secret changed",
        "host pbx1: recordings password changed",
        "host pbx2 added",
        "operator 102 removed",
        "operator 101: user changed from 27 to 28",
        "operator 101: name changed from Иван to none",
        "operator 103 added",
        "line 74951110001: name changed from Москва to Питер",
    ]
    renamed = replace(OLD, hosts=(replace(host(), name=HostName("other")),))
    assert changes(OLD, renamed) == ["host pbx1 removed", "host other added"]


def test_what_is_told_to_people_holds_no_secret() -> None:
    for old in (None, replace(OLD, account=replace(OLD.account, api_key=Secret("hush"))), replace(OLD, hosts=())):
        assert "hush" not in " ".join(changes(old, OLD))
