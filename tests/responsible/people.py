"""Anna and Boris, of an enterprise whose CRM knows them as users 27 and 31, and the customers they look after."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from amibridge.calls.record import Extension
from amibridge.enterprises import AmiHost, Enterprise, EnterpriseId, HostName, Line, Operator, ResponsibleSettings
from amibridge.redact import Secret
from amibridge.responsible.decision import Customer, Known
from amibridge.responsible.presence import OperatorStatus, Presence
from amibridge.retailcrm.customers import Customer as CrmCustomer
from amibridge.retailcrm.phone_lookup import Manager, ManagerReply
from amibridge.retailcrm.users import UserStatus
from tests.sync.following import KEY, NUMBER, enterprise

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANNA, BORIS, STRANGER = 27, 31, 99
PHONE = "+79161234567"

OPERATORS = {
    Extension("101"): Operator(Extension("101"), ANNA, "Анна"),
    Extension("102"): Operator(Extension("102"), BORIS, "Борис"),
    Extension("105"): Operator(Extension("105"), None, "Глеб"),
}


def romashka(url: str = "https://romashka.retailcrm.ru", *, key: str = KEY, **responsible: Any) -> Enterprise:
    host = AmiHost(EnterpriseId(NUMBER), HostName("pbx1"), "10.0.0.5", 5038, "amibridge", Secret("hush"))
    return replace(
        enterprise(url, key),
        hosts=(host,),
        operators=OPERATORS,
        lines={"74951110001": Line("74951110001", "romashka", "Москва"), "0001301": Line("0001301", None, "GSM")},
        responsible=ResponsibleSettings(**responsible),
    )


def customer(manager: int | None = ANNA, name: str = "Иван Петров") -> Customer:
    return Customer(7, name, None, manager)


def told(manager: int | None = None, code: str | None = None, name: str | None = None) -> ManagerReply:
    who = None if manager is None else Manager(manager, code)
    return ManagerReply(who, None if name is None else CrmCustomer(7, first_name=name, phones=(PHONE,)))


def known(customer: Customer | None = None, told: ManagerReply | None = None, *talked: str) -> Known:
    return Known(customer, tuple(Extension(one) for one in talked), told)


def status(user: int, status: UserStatus, code: str | None = None, at: datetime = NOW) -> OperatorStatus:
    return OperatorStatus(user, None if code is None else Extension(code), status, at)


def presence(*told: OperatorStatus) -> Presence:
    return Presence(told)
