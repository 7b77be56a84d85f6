"""How RetailCRM might behave where nobody documents it, and where amibridge assumes that it does not.

Laws: an account behaves otherwise in what it was told to, and in nothing else; a way is one method of the API, answered
by another function, or with what the usual one answers changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_ask import Answer, Ask
from amibridge.sandbox.crm_customers import tail
from amibridge.sandbox.crm_forms import DATE_FORMAT, FORMAT, Refused
from amibridge.sandbox.crm_ways import Otherwise

LONG_AGO = timedelta(days=3)

Usual: TypeAlias = Callable[[Ask], Answer]
Twist: TypeAlias = Callable[[CrmAccount, Ask, Usual], Answer]


@dataclass(frozen=True, slots=True)
class _Way:
    verb: str
    path: str
    twist: Twist


def respond(account: CrmAccount, verb: str, path: str, ask: Ask, usual: Usual) -> Answer:
    """What *account* answers: as usual, or as it was told. Raises Refused."""
    answer = usual
    for told in sorted(account.account.otherwise):
        way = WAYS[told]
        if way.verb == verb and re.fullmatch(way.path, path):
            answer = partial(_twisted, account, way.twist, answer)
    return answer(ask)


def _twisted(account: CrmAccount, twist: Twist, usual: Usual, ask: Ask) -> Answer:
    return twist(account, ask, usual)


# -- the answer with a part of it changed


def _with(change: Callable[[CrmAccount, dict[str, Any]], Mapping[str, Any]]) -> Twist:
    def twist(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
        answer = usual(ask)
        body = dict(answer.body)
        return replace(answer, body=body | dict(change(account, body)))

    return twist


def _in_utc(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    local = datetime.strptime(body["generatedAt"], DATE_FORMAT).replace(tzinfo=account.account.time_zone)
    return {"generatedAt": local.astimezone(UTC).strftime(DATE_FORMAT)}


def _with_rules(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    return {"history": [one | {"source": "rule"} for one in body["history"]]}


def _away(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    return {"users": [one | {"status": "away"} for one in body["users"]]}


def _without_code(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    return {"manager": {name: value for name, value in dict(body["manager"]).items() if name != "code"}}


def _first_customer(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    first = next(iter(account.customers.by_id.values()))
    return {"customer": body["customer"] or {name: first[name] for name in ("id", "firstName", "phones")}}


def _without_telephony(account: CrmAccount, body: dict[str, Any]) -> Mapping[str, Any]:
    return {"integrationModule": body["integrationModule"] | {"integrations": {}}}


# -- another refusal, or none


def _refusing(status: int, text: str) -> Twist:
    def twist(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
        raise Refused(status, text)

    return twist


def _refused_as(status: int, text: str) -> Twist:
    """What is refused usually is refused so."""

    def twist(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
        try:
            return usual(ask)
        except Refused:
            raise Refused(status, text) from None

    return twist


def _refused_if(too_much: Callable[[CrmAccount, Ask, Mapping[str, Any]], bool], text: str) -> Twist:
    """*too_much* sees the answer, which is not given."""

    def twist(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
        answer = usual(ask)
        if too_much(account, ask, answer.body):
            raise Refused(400, text)
        return answer

    return twist


def _many_ids(account: CrmAccount, ask: Ask, body: Mapping[str, Any]) -> bool:
    return any(isinstance(values, list) and len(values) > 50 for values in ask.query.values())


def _big_page(account: CrmAccount, ask: Ask, body: Mapping[str, Any]) -> bool:
    return ask.query.get("limit") == "100"


def _strange_code(account: CrmAccount, ask: Ask, body: Mapping[str, Any]) -> bool:
    return bool(body["notExistCodes"])


# -- another way to do it


def _pages_of_fifty(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    limit = "50" if ask.query.get("limit") == "100" else ask.query.get("limit", "20")
    return usual(replace(ask, query={**ask.query, "limit": limit}))


def _as_typed(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    answer = usual(ask)
    phones = [one["number"] for one in dict(answer.body.get("customer") or {}).get("phones", [])]
    return answer if ask.query["phone"] in phones else replace(answer, body={**answer.body, "customer": []})


def _without_twins(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    answer, wanted = usual(ask), tail(str(ask.query["phone"]))
    phones = ([tail(one["number"]) for one in customer["phones"]] for customer in account.customers.by_id.values())
    having = [one for one in phones if wanted in one]
    return replace(answer, body={**answer.body, "customer": []}) if len(having) > 1 else answer


def _by_name_alone(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    answer = usual(ask)
    wanted = str(ask.query.get("filter[name]", ""))
    return replace(answer, body={**answer.body, "customers": []}) if wanted.isdigit() else answer


def _backwards(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    answer = usual(ask)
    return replace(answer, body={**answer.body, "history": answer.body["history"][::-1]})


def _repeating(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    since = int(str(ask.query.get("filter[sinceId]", 0)))
    return usual(replace(ask, query={**ask.query, "filter[sinceId]": str(since - 1)}) if since else ask)


def _without_start(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    return usual(replace(ask, query={name: one for name, one in ask.query.items() if name != "filter[startDate]"}))


def _taken_again(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    answer = usual(ask)
    taken = answer.body["processedCallsCount"] + len(answer.body["duplicateCalls"])
    return replace(answer, body={**answer.body, "processedCallsCount": taken, "duplicateCalls": []})


def _no_old_calls(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    oldest = account.customers.history.local(ask.at - LONG_AGO)
    if any(date < oldest for date in re.findall(r'"date":"([^"]*)"', ask.form["calls"])):
        raise Refused(400, FORMAT, {"0.date": "This call is too old."})
    return usual(ask)


def _twice(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    form = re.sub(r'"externalId":"[^"]*",?', "", ask.form["customer"])
    return usual(replace(ask, form={**ask.form, "customer": form}))


def _phones_added(account: CrmAccount, ask: Ask, usual: Usual) -> Answer:
    customer = account.customers.by_id[account.customers.find(ask.path["key"], ask.form["by"])]
    before = list(customer["phones"])
    answer = usual(ask)
    customer["phones"] = [*before, *(one for one in customer["phones"] if one not in before)]
    return answer


_HISTORY, _LOOKUP = "/api/v5/(customers|orders)/history", "/api/v5/telephony/manager"
_EVENT, _UPLOAD = "/api/v5/telephony/call/event", "/api/v5/telephony/calls/upload"
_MODULE = "/api/v5/integration-modules/[^/]+"
_CUSTOMER, _CREATE = "/api/v5/customers/[^/]+", "/api/v5/customers/create"

WAYS: Mapping[Otherwise, _Way] = {
    Otherwise.RIGHTS_REFUSED_IN_OTHER_WORDS: _Way("GET", "/api/v5/.*", _refused_as(400, "Forbidden for this key.")),
    Otherwise.OWN_RIGHTS_HIDDEN: _Way("GET", "/api/credentials", _refusing(403, "Access denied.")),
    Otherwise.SETTINGS_HIDDEN: _Way("GET", "/api/v5/settings", _refusing(403, "Access denied.")),
    Otherwise.TIMES_IN_UTC: _Way("GET", _HISTORY, _with(_in_utc)),
    Otherwise.SMALL_PAGES: _Way("GET", "/api/v5/customers", _pages_of_fifty),
    Otherwise.BIG_PAGES_REFUSED: _Way("GET", "/api/v5/customers", _refused_if(_big_page, "This limit is too high.")),
    Otherwise.FEW_IDS: _Way("GET", "/api/v5/orders(/statuses)?", _refused_if(_many_ids, "Too many ids.")),
    Otherwise.MORE_STATUSES_OF_USERS: _Way("GET", "/api/v5/users", _with(_away)),
    Otherwise.LOOKUP_AS_TYPED: _Way("GET", _LOOKUP, _as_typed),
    Otherwise.LOOKUP_GUESSES: _Way("GET", _LOOKUP, _with(_first_customer)),
    Otherwise.LOOKUP_WITHOUT_TWINS: _Way("GET", _LOOKUP, _without_twins),
    Otherwise.LOOKUP_WITHOUT_CODE: _Way("GET", _LOOKUP, _with(_without_code)),
    Otherwise.SEARCH_BY_NAME_ALONE: _Way("GET", "/api/v5/customers", _by_name_alone),
    Otherwise.MERGES_FORGOTTEN: _Way("GET", _CUSTOMER, _refused_as(404, "Not found")),
    Otherwise.HISTORY_BACKWARDS: _Way("GET", _HISTORY, _backwards),
    Otherwise.HISTORY_REPEATS: _Way("GET", _HISTORY, _repeating),
    Otherwise.HISTORY_WITHOUT_START: _Way("GET", _HISTORY, _without_start),
    Otherwise.HISTORY_OF_ONE_PAGE: _Way("GET", _HISTORY, _with(lambda *_: {"pagination": {"totalPageCount": 1}})),
    Otherwise.HISTORY_BY_RULES: _Way("GET", _HISTORY, _with(_with_rules)),
    Otherwise.NO_MODULE_DENIED: _Way("GET", _MODULE, _refused_as(400, "This module is not yours.")),
    Otherwise.MODULE_WITHOUT_TELEPHONY: _Way("GET", _MODULE, _with(_without_telephony)),
    Otherwise.STRANGE_CODES_REFUSED: _Way("POST", _EVENT, _refused_if(_strange_code, "Unknown code.")),
    Otherwise.NO_TELEPHONY_IN_OTHER_WORDS: _Way("POST", _EVENT, _refused_as(400, "Integration is switched off.")),
    Otherwise.CALLS_TAKEN_AGAIN: _Way("POST", _UPLOAD, _taken_again),
    Otherwise.CALLS_PASSED_OVER: _Way("POST", _UPLOAD, _with(lambda *_: {"duplicateCalls": []})),
    Otherwise.OLD_CALLS_REFUSED: _Way("POST", _UPLOAD, _no_old_calls),
    Otherwise.CUSTOMERS_TWICE: _Way("POST", _CREATE, _twice),
    Otherwise.EXTERNAL_ID_UNSAID: _Way("POST", _CREATE, _refused_as(400, FORMAT)),
    Otherwise.PHONES_ADDED: _Way("POST", _CUSTOMER + "/edit", _phones_added),
    Otherwise.TASKS_STAY_OPEN: _Way("POST", "/api/v5/tasks/[0-9]+/edit", _refusing(404, "API method not found")),
}
