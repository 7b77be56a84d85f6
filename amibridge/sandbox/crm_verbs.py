"""What RetailCRM does when asked: one function per method of its API, and the table of their paths.

Laws: a verb sees one account and one request, and returns the answer with what changed; it raises `Refused` for a
request the contract does not allow. A path that is not in the table does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from amibridge.sandbox import crm_customer_verbs, crm_order_verbs, crm_people_verbs, crm_task_verbs
from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_ask import Answer, Ask, Method, yes
from amibridge.sandbox.crm_customers import LONG_AGO, tail
from amibridge.sandbox.crm_forms import Refused, read_calls, read_event, read_module
from amibridge.sandbox.crm_otherwise import respond
from amibridge.sandbox.crm_people_verbs import named
from amibridge.sandbox.crm_queries import ManagerQuery

SCOPES = (
    "customer_read", "customer_write", "integration_read", "integration_write", "order_read", "order_write",
    "reference_read", "task_read", "task_write", "telephony_read", "telephony_write", "user_read", "user_write",
)  # fmt: skip


def _call_event(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
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
    ask.asks_nothing()
    calls = read_calls(ask.form)
    if not account.telephony_enabled:
        raise Refused(400, "Telephony not enabled or not supports calls upload")
    repeated, changes = account.store(calls, ask.at)
    return Answer(
        {"success": True, "processedCallsCount": len(calls) - len(repeated), "duplicateCalls": repeated},
        changes=changes,
    )


def _telephony_manager(account: CrmAccount, ask: Ask) -> Answer:
    """Who looks after the customer, else who talked with that number last; if it matters, only who is free."""
    query = ask.asks(ManagerQuery)
    wanted = tail(query.phone)
    customer = account.customers.with_phone(query.phone)
    calls = (call for call in reversed(account.calls) if tail(call.phone) == wanted)
    candidates = [account.users.get((customer or {}).get("managerId", 0))]
    candidates += [account.user(call.user_id, call.code) for call in calls]
    busy = set() if query.ignore_status == "1" else {id for id, status in account.statuses.items() if status != "free"}
    manager = next((user for user in candidates if user is not None and user.id not in busy), None)
    body: dict[str, Any] = {"manager": [] if manager is None else named(account, manager)}
    if query.details == "1":
        known = ("id", "externalId", "firstName", "lastName", "patronymic", "email", "phones")
        told = customer or {}
        body["customer"] = {name: told[name] for name in known if name in told} or []
        shop = f"https://{account.account.site}.example.com"
        body["links"] = {"newOrderLink": f"{shop}/orders/add", "newCustomerLink": f"{shop}/customers/add"}
    return yes(**body)


def _settings(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    values = {
        "timezone": account.account.time_zone.key,
        "default_currency": "RUB",
        "system_language": "RU",
    }
    settings = {name: {"value": value, "updated_at": LONG_AGO} for name, value in values.items()}
    return yes(settings=settings | {"work_times": [], "non_working_days": []})


def _credentials(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    scopes = [scope for scope in SCOPES if account.account.scopes is None or scope in account.account.scopes]
    site = account.account.site
    return yes(scopes=scopes, credentials=[], siteAccess="access_selective", sitesAvailable=[site])


def _api_versions(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(versions=["3.0", "4.0", "5.0"])


def _installation(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    site = account.account.site
    return yes(
        systemVersion="8.1.51",
        publicUrl=f"https://{site}.example.com",
        technicalUrl=f"https://{site}.technical.example.com",
    )


def _module(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    module = account.modules.get(ask.path["code"])
    if module is None:
        raise Refused(400, "Errors in the input parameters")
    return yes(integrationModule=module.model_dump(mode="json", by_alias=True, exclude_none=True))


def _edit_module(account: CrmAccount, ask: Ask) -> Answer:
    """Codes that are given replace those of all users, an empty list wipes them; unknown users are only told."""
    ask.asks_nothing()
    module = read_module(ask.form)
    if module.code != ask.path["code"]:
        raise Refused(400, "Errors in the entity format", {"code": "The code must be the one in the path."})
    created = module.code not in account.modules
    account.modules[module.code] = module
    telephony = module.integrations.telephony
    codes = (telephony and telephony.additional_codes) or []
    phones = (telephony and telephony.external_phones) or []
    if telephony is not None and telephony.additional_codes is not None:
        account.codes = {code.user_id: code.code for code in codes if code.user_id in account.users}
    unknown = {
        "notExistUsersIds": [code.user_id for code in codes if code.user_id not in account.users],
        "notExistSiteCodes": [phone.site_code for phone in phones if phone.site_code != account.account.site],
    }
    found = {name: values for name, values in unknown.items() if values}
    return Answer({"success": True, "info": found or []}, status=201 if created else 200)


_MODULE = "/api/v5/integration-modules/(?P<code>[A-Za-z0-9._-]{1,255})"
METHODS = (
    Method("GET", "/api/api-versions", _api_versions, None),
    Method("GET", "/api/credentials", _credentials, None),
    Method("GET", "/api/system-info", _installation, None),
    Method("GET", "/api/v5/settings", _settings, None),
    Method("POST", "/api/v5/telephony/call/event", _call_event, "telephony_write"),
    Method("POST", "/api/v5/telephony/calls/upload", _calls_upload, "telephony_write"),
    Method("GET", "/api/v5/telephony/manager", _telephony_manager, "telephony_read"),
    Method("GET", _MODULE, _module, "integration_read"),
    Method("POST", _MODULE + "/edit", _edit_module, "integration_write"),
    *crm_customer_verbs.METHODS,
    *crm_order_verbs.METHODS,
    *crm_people_verbs.METHODS,
    *crm_task_verbs.METHODS,
)
_PATHS = tuple((method, re.compile(method.path)) for method in METHODS)


def find_method(verb: str, path: str) -> tuple[Method, Mapping[str, str]]:
    """The method and the named parts of *path*. Raises Refused: 404, or 405 when only the verb is wrong.

    Of two that fit, `customers/history` and `customers/{key}`, the one without a name in its path is meant.
    """
    matches = [(method, found) for method, pattern in _PATHS if (found := pattern.fullmatch(path))]
    if not matches:
        raise Refused(404, "API method not found")
    whole = [match for match in matches if not match[1].groupdict()] or matches
    for method, found in whole:
        if method.verb == verb:
            return method, found.groupdict()
    raise Refused(405, "Method Not Allowed")


def carry_out(account: CrmAccount, verb: str, path: str, ask: Ask) -> Answer:
    """Raises Refused, also when the account's key lacks the right."""
    method, parts = find_method(verb, path)

    def usual(ask: Ask) -> Answer:
        scopes = account.account.scopes
        if method.scope is not None and scopes is not None and method.scope not in scopes:
            raise Refused(403, "Access denied.")
        return method.answer(account, ask)

    return respond(account, verb, path, Ask(ask.at, parts, ask.query, ask.form), usual)
