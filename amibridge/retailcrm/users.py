"""Users: the people who work in the CRM. Their extensions are not here but in the telephony module (`modules`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import Paging, listed_in, page_of, positive, query, records_in
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import flag, mapping, mappings, number, text
from amibridge.retailcrm.written import Accepted

USERS = "/api/v5/users"


class UserStatus(StrEnum):
    FREE = "free"
    BUSY = "busy"
    DINNER = "dinner"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class User:
    """*active*: he may sign in. *online*: he is signed in. *status*: None for one we do not know."""

    id: int
    first_name: str | None = None
    last_name: str | None = None
    patronymic: str | None = None
    email: str | None = None
    phone: str | None = None
    active: bool = True
    online: bool = False
    is_admin: bool = False
    is_manager: bool = False
    status: UserStatus | None = None
    groups: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """First name and last name; empty when there is none."""
        return " ".join(part for part in (self.first_name, self.last_name) if part)

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without an id."""
        found, status = number(said.get("id")), text(said.get("status"))
        if found is None:
            raise CrmBroken("the CRM tells of a user without an id")
        return cls(
            id=found,
            first_name=text(said.get("firstName")),
            last_name=text(said.get("lastName")),
            patronymic=text(said.get("patronymic")),
            email=text(said.get("email")),
            phone=text(said.get("phone")),
            active=flag(said.get("active")) is not False,
            online=flag(said.get("online")) or False,
            is_admin=flag(said.get("isAdmin")) or False,
            is_manager=flag(said.get("isManager")) or False,
            status=next((known for known in UserStatus if known == status), None),
            groups=tuple(code for one in mappings(said.get("groups")) if (code := text(one.get("code")))),
        )


@dataclass(frozen=True, slots=True)
class UsersReply:
    users: tuple[User, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(tuple(map(User.of, records_in(body, "users"))), Paging.of(body))


@dataclass(frozen=True, slots=True)
class UserReply:
    user: User

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(User.of(mapping(body.get("user"))))


@dataclass(frozen=True, slots=True)
class UserGroup:
    id: int
    code: str | None = None
    name: str | None = None
    is_manager: bool = False


@dataclass(frozen=True, slots=True)
class UserGroupsReply:
    groups: tuple[UserGroup, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        found = tuple(
            UserGroup(id, text(one.get("code")), text(one.get("name")), flag(one.get("isManager")) or False)
            for one in mappings(listed_in(body, "groups"))
            if (id := number(one.get("id"))) is not None
        )
        return cls(found, Paging.of(body))


def users(*, active: bool | None = None, page: int = 1, limit: int = 100) -> Request[UsersReply]:
    asked = page_of(page, limit) | query(filter_active=active)
    return Request("GET", USERS, UsersReply, LimitClass.ORDINARY, True, asked)


def user(id: int) -> Request[UserReply]:
    return Request("GET", f"{USERS}/{positive(id)}", UserReply, LimitClass.ORDINARY, True)


def set_user_status(id: int, status: UserStatus) -> Request[Accepted]:
    """The CRM may call back to say so: whoever sets a status ignores a callback with the same one."""
    path = f"{USERS}/{positive(id)}/status"
    return Request("POST", path, Accepted, LimitClass.ORDINARY, True, form={"status": status.value})


def user_groups(*, page: int = 1, limit: int = 100) -> Request[UserGroupsReply]:
    return Request("GET", "/api/v5/user-groups", UserGroupsReply, LimitClass.ORDINARY, True, page_of(page, limit))
