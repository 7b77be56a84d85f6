"""What RetailCRM does when asked: one function per method of its API, and the table of their paths.

Laws: a verb sees one account and one request, and returns the answer with what changed; it raises `Refused` for a
request the contract does not allow. A path that is not in the table does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amibridge.sandbox.crm_account import AccountChange, CrmAccount, SandboxUser
from amibridge.sandbox.crm_forms import (
    ManagerQuery,
    NoQuery,
    Refused,
    UsersQuery,
    read_calls,
    read_event,
    read_module,
    read_query,
)

SCOPES = (
    "customer_read", "customer_write", "integration_read", "integration_write", "order_read", "order_write",
    "reference_read", "telephony_read", "telephony_write", "user_read", "user_write",
)  # fmt: skip
LONG_AGO = "2020-05-25 12:49:00"
PHONE_TAIL = 10
"""Last digits by which two ways of writing one number are known to be the same."""


@dataclass(frozen=True, slots=True)
class Ask:
    """*query* and *form* without the key; *path* holds the parts that the path names."""

    at: datetime
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    body: Mapping[str, Any]
    status: int = 200
    changes: list[AccountChange] = field(default_factory=list)


def _call_event(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    event = read_event(ask.form)
    if not account.telephony_enabled:
        raise Refused(400, "Telephony not enabled")
    heard, changes = account.hear(event, ask.at)
    return Answer(
        {
            "success": True,
            "notExistCodes": [code for code in heard.codes if account.user(None, code) is None],
            "notExistUsers": [user for user in heard.user_ids if account.user(user, None) is None],
        },
        changes=changes,
    )


def _calls_upload(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    calls = read_calls(ask.form)
    if not account.telephony_enabled:
        raise Refused(400, "Telephony not enabled or not supports calls upload")
    repeated, changes = account.store(calls, ask.at)
    return Answer(
        {"success": True, "processedCallsCount": len(calls) - len(repeated), "duplicateCalls": repeated},
        changes=changes,
    )


def _telephony_manager(account: CrmAccount, ask: Ask) -> Answer:
    query = read_query(ask.query, ManagerQuery)
    wanted = _tail(query.phone)
    calls = (call for call in reversed(account.calls) if _tail(call.phone) == wanted)
    users = (account.user(call.user_id, call.code) for call in calls)
    manager = next((user for user in users if user is not None), None)
    body: dict[str, Any] = {"success": True, "manager": [] if manager is None else _named(manager)}
    if query.details == "1":
        customers = account.account.customers.items()
        customer = next((name for phone, name in customers if _tail(phone) == wanted), None)
        body["customer"] = [] if customer is None else {"firstName": customer, "phones": [{"number": query.phone}]}
        shop = f"https://{account.account.site}.example.com"
        body["links"] = {"newOrderLink": f"{shop}/orders/add", "newCustomerLink": f"{shop}/customers/add"}
    return Answer(body)


def _settings(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    values = {
        "timezone": account.account.time_zone.key,
        "default_currency": "RUB",
        "system_language": "RU",
    }
    settings = {name: {"value": value, "updated_at": LONG_AGO} for name, value in values.items()}
    return Answer({"success": True, "settings": settings | {"work_times": [], "non_working_days": []}})


def _credentials(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    return Answer(
        {
            "success": True,
            "scopes": list(SCOPES),
            "credentials": [],
            "siteAccess": "access_selective",
            "sitesAvailable": [account.account.site],
        }
    )


def _api_versions(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    return Answer({"success": True, "versions": ["3.0", "4.0", "5.0"]})


def _users(account: CrmAccount, ask: Ask) -> Answer:
    query = read_query(ask.query, UsersQuery)
    wanted = {
        "email": query.email,
        "status": query.status,
        "online": _truth(query.online),
        "active": _truth(query.active),
        "isManager": _truth(query.is_manager),
        "isAdmin": _truth(query.is_admin),
    }
    found = [
        user
        for user in map(_described, account.users.values())
        if all(value in (None, user.get(name)) for name, value in wanted.items())
        and query.group in (None, "manager")
        and (query.created_from or LONG_AGO) <= LONG_AGO <= (query.created_to or LONG_AGO)
    ]
    limit, page = int(query.limit), int(query.page)
    return Answer(
        {
            "success": True,
            "pagination": {
                "limit": limit,
                "totalCount": len(found),
                "currentPage": page,
                "totalPageCount": max(1, -(-len(found) // limit)),
            },
            "users": found[(page - 1) * limit : page * limit],
        }
    )


def _module(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    module = account.modules.get(ask.path["code"])
    if module is None:
        raise Refused(400, "Errors in the input parameters")
    return Answer(
        {"success": True, "integrationModule": module.model_dump(mode="json", by_alias=True, exclude_none=True)}
    )


def _edit_module(account: CrmAccount, ask: Ask) -> Answer:
    read_query(ask.query, NoQuery)
    module = read_module(ask.form)
    if module.code != ask.path["code"]:
        raise Refused(400, "Errors in the entity format", {"code": "The code must be that of the path."})
    created = module.code not in account.modules
    account.modules[module.code] = module
    telephony = module.integrations.telephony
    codes = (telephony and telephony.additional_codes) or []
    phones = (telephony and telephony.external_phones) or []
    unknown = {
        "notExistUsersIds": [code.user_id for code in codes if code.user_id not in account.users],
        "notExistSiteCodes": [phone.site_code for phone in phones if phone.site_code != account.account.site],
    }
    found = {name: values for name, values in unknown.items() if values}
    return Answer({"success": True, "info": found or []}, status=201 if created else 200)


Verb = Callable[[CrmAccount, Ask], Answer]

_MODULE = "/api/v5/integration-modules/(?P<code>[A-Za-z0-9._-]{1,255})"
VERBS: tuple[tuple[str, re.Pattern[str], Verb], ...] = tuple(
    (method, re.compile(path), verb)
    for method, path, verb in (
        ("GET", "/api/api-versions", _api_versions),
        ("GET", "/api/credentials", _credentials),
        ("GET", "/api/v5/settings", _settings),
        ("POST", "/api/v5/telephony/call/event", _call_event),
        ("POST", "/api/v5/telephony/calls/upload", _calls_upload),
        ("GET", "/api/v5/telephony/manager", _telephony_manager),
        ("GET", "/api/v5/users", _users),
        ("GET", _MODULE, _module),
        ("POST", _MODULE + "/edit", _edit_module),
    )
)


def find_verb(method: str, path: str) -> tuple[Verb, Mapping[str, str]]:
    """The verb and the named parts of *path*. Raises Refused: 404, or 405 when only the method is wrong."""
    matches = [(wanted, verb, found) for wanted, pattern, verb in VERBS if (found := pattern.fullmatch(path))]
    if not matches:
        raise Refused(404, "API method not found")
    for wanted, verb, found in matches:
        if wanted == method:
            return verb, found.groupdict()
    raise Refused(405, "Method Not Allowed")


def _named(user: SandboxUser) -> dict[str, Any]:
    first, _, last = user.name.partition(" ")
    named = {"id": user.id, "firstName": first, "lastName": last, "email": f"user{user.id}@example.com"}
    return named if user.code is None else named | {"code": user.code}


def _described(user: SandboxUser) -> dict[str, Any]:
    described = {name: value for name, value in _named(user).items() if name != "code"}
    return described | {
        "createdAt": LONG_AGO,
        "active": True,
        "status": "free",
        "online": True,
        "isAdmin": False,
        "isManager": True,
        "groups": [{"id": 25, "name": "Managers", "code": "manager"}],
    }


def _truth(flag: str | None) -> bool | None:
    return None if flag is None else flag == "1"


def _tail(phone: str) -> str:
    return re.sub(r"\D", "", phone)[-PHONE_TAIL:]
