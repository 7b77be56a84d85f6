"""What RetailCRM does with its own people when asked: users, groups and notices."""

from __future__ import annotations

from typing import Any

from amibridge.sandbox.crm_account import CrmAccount, Notice, SandboxUser
from amibridge.sandbox.crm_ask import Answer, Ask, Method, changed, one_page, truth, yes
from amibridge.sandbox.crm_customers import LONG_AGO, numbered
from amibridge.sandbox.crm_forms import Form, NoQuery, Refused, UserStatus, read_entity, read_plain
from amibridge.sandbox.crm_queries import Paged, UsersQuery
from amibridge.sandbox.crm_records import NOTIFICATION

GROUP = {"id": 25, "name": "Managers", "code": "manager"}


class StatusForm(Form):
    status: UserStatus


def named(account: CrmAccount, user: SandboxUser) -> dict[str, Any]:
    """As `telephony/manager` tells of a user: with his extension."""
    first, _, last = user.name.partition(" ")
    said = {"id": user.id, "firstName": first, "lastName": last, "email": f"user{user.id}@example.com"}
    code = account.codes.get(user.id)
    return said if code is None else said | {"code": code}


def _described(account: CrmAccount, user: SandboxUser) -> dict[str, Any]:
    said = {name: value for name, value in named(account, user).items() if name != "code"}
    return said | {
        "createdAt": LONG_AGO,
        "active": True,
        "status": account.statuses.get(user.id, "free"),
        "online": True,
        "isAdmin": False,
        "isManager": True,
        "groups": [GROUP],
    }


def _users(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(UsersQuery, lenient=account.account.ignores_unknown)
    wanted = {
        "email": query.email,
        "status": query.status,
        "online": truth(query.online),
        "active": truth(query.active),
        "isManager": truth(query.is_manager),
        "isAdmin": truth(query.is_admin),
    }
    found = [
        user
        for user in (_described(account, one) for one in account.users.values())
        if all(value in (None, user.get(name)) for name, value in wanted.items())
        and (query.groups is None or GROUP["code"] in query.groups)
        and (query.created_from or LONG_AGO) <= LONG_AGO <= (query.created_to or LONG_AGO)
    ]
    return one_page("users", found, query)


def _user(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(user=_described(account, _known(account, ask)))


def _set_status(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    if "status" not in ask.form:
        raise Refused(400, "Parameter 'status' is missing")
    status = read_plain(ask.form, StatusForm).status
    account.statuses[_known(account, ask).id] = status
    return changed(account)


def _groups(account: CrmAccount, ask: Ask) -> Answer:
    group = GROUP | {"isManager": True, "isDeliveryMen": False}
    return one_page("groups", [group], ask.asks(Paged, lenient=account.account.ignores_unknown))


def _send_notification(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    notice, _ = read_entity("notification", ask.form, NOTIFICATION, NoQuery)
    users, groups = tuple(notice.user_ids or ()), tuple(notice.user_groups or ())
    account.notices.append(Notice(ask.at, notice.type, notice.message, users, groups))
    return changed(account)


def _known(account: CrmAccount, ask: Ask) -> SandboxUser:
    user = account.users.get(numbered(ask.path["key"]))
    if user is None:
        raise Refused(404, "Not found")
    return user


METHODS = (
    Method("GET", "/api/v5/users", _users, "user_read"),
    Method("GET", "/api/v5/users/(?P<key>[0-9]+)", _user, "user_read"),
    Method("POST", "/api/v5/users/(?P<key>[0-9]+)/status", _set_status, "user_write"),
    Method("GET", "/api/v5/user-groups", _groups, "user_read"),
    Method("POST", "/api/v5/notifications/send", _send_notification, None),
)
