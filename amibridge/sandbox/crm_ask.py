"""What a verb of the sandbox CRM is given and what it gives back; shared by all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from amibridge.sandbox.crm_account import AccountChange, CrmAccount, RecordsChanged
from amibridge.sandbox.crm_forms import Form, NoQuery, read_query
from amibridge.sandbox.crm_queries import Paged

FormT = TypeVar("FormT", bound=Form)


@dataclass(frozen=True, slots=True)
class Ask:
    """*query* and *form* without the key; *path* holds the parts that the path names."""

    at: datetime
    path: Mapping[str, str]
    query: Mapping[str, str | list[str]]
    form: Mapping[str, str]

    def asks(self, model: type[FormT], *, lenient: bool = False) -> FormT:
        """The query, read. Raises Refused."""
        return read_query(self.query, model, lenient=lenient)

    def asks_nothing(self) -> None:
        self.asks(NoQuery)


@dataclass(frozen=True, slots=True)
class Answer:
    body: Mapping[str, Any]
    status: int = 200
    changes: list[AccountChange] = field(default_factory=list)


Verb: TypeAlias = Callable[[CrmAccount, Ask], Answer]


@dataclass(frozen=True, slots=True)
class Method:
    """*path*: a pattern. *scope*: the right that a key needs, None for none."""

    verb: str
    path: str
    answer: Verb
    scope: str | None


def yes(**parts: object) -> Answer:
    return Answer({"success": True} | parts)


def changed(account: CrmAccount, status: int = 200, **parts: object) -> Answer:
    return Answer({"success": True} | parts, status, [RecordsChanged(account.account.name)])


def one_page(name: str, found: Sequence[Mapping[str, Any]], query: Paged) -> Answer:
    """The page that was asked for; one behind the last is empty."""
    limit, page = int(query.limit), int(query.page)
    return yes(pagination=pagination(limit, len(found), page), **{name: found[(page - 1) * limit : page * limit]})


def pagination(limit: int, total: int, page: int = 1) -> dict[str, int]:
    pages = max(1, -(-total // limit))
    return {"limit": limit, "totalCount": total, "currentPage": page, "totalPageCount": pages}


def truth(flag: str | None) -> bool | None:
    return None if flag is None else flag == "1"


def among(value: object, wanted: Sequence[str] | None) -> bool:
    """Nothing was asked for, or *value* is one of it."""
    return wanted is None or (value is not None and str(value) in wanted)


def on_a_day(value: str | None, first: str | None, last: str | None) -> bool:
    """A time of the account's between two days, both of them with it."""
    if first is None and last is None:
        return True
    return value is not None and (first is None or first <= value[:10]) and (last is None or value[:10] <= last)
