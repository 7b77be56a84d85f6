"""Tasks: what an operator is to do, such as to call somebody back.

The contract does not know them. Source: RetailCRM's own clients, api-client-php (`Model/Entity/Tasks/Task.php`,
`Model/Filter/Tasks/TaskFilter.php`, `tests/src/ResourceGroup/TasksTest.php`) and api-client-go
(`TestClient_TaskChange`); not tried on a live account. A task has no externalId: its id says which it is, or its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from amibridge.retailcrm.errors import CrmBroken
from amibridge.retailcrm.fields import Paging, external, filled, local, page_of, positive, query, records_in
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.tolerant import flag, mapping, number, text
from amibridge.retailcrm.written import Accepted, Created

TASKS = "/api/v5/tasks"


@dataclass(frozen=True, slots=True)
class TaskFields:
    """What is written of a task; None is left as it is. *performer*: id of the user who is to do it.

    *until*: aware, in the account's time zone, to the minute. *customer*: an id, or an externalId as text.
    """

    text: str | None = None
    commentary: str | None = None
    until: datetime | None = None
    performer: int | None = None
    customer: int | str | None = None
    phone: str | None = None
    complete: bool | None = None

    def fields(self, site: str | None) -> dict[str, object]:
        """In RetailCRM's words; *site* is the store in which an externalId is looked for."""
        said = filled(
            text=self.text,
            commentary=self.commentary,
            datetime=None if self.until is None else local(self.until)[:-3],
            performerId=None if self.performer is None else positive(self.performer),
            customer=None if self.customer is None else _customer(self.customer, site),
            phone=self.phone,
            phoneSite=None if self.phone is None else site,
            complete=self.complete,
        )
        if not said:
            raise ValueError("nothing is said of the task")
        return said


@dataclass(frozen=True, slots=True)
class Task:
    """A task as far as the answer tells of it. *performer*: the user who is to do it, None if that is a group."""

    id: int
    text: str | None = None
    complete: bool = False
    performer: int | None = None

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Raises CrmBroken without an id."""
        found = number(said.get("id"))
        if found is None:
            raise CrmBroken("the CRM tells of a task without an id")
        is_user = said.get("performerType", "user") == "user"
        performer = number(said.get("performer")) or number(said.get("performerId"))
        return cls(found, text(said.get("text")), flag(said.get("complete")) or False, performer if is_user else None)


@dataclass(frozen=True, slots=True)
class TaskReply:
    task: Task

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(Task.of(mapping(body.get("task"))))


@dataclass(frozen=True, slots=True)
class TasksReply:
    tasks: tuple[Task, ...]
    paging: Paging

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Self:
        return cls(tuple(map(Task.of, records_in(body, "tasks"))), Paging.of(body))


def tasks(*, created_from: date | None = None, page: int = 1, limit: int = 20) -> Request[TasksReply]:
    """Tasks made on that day or later. Whether the filter holds is not confirmed: look at what comes."""
    asked = query(filter_createdAtFrom=created_from)
    return Request("GET", TASKS, TasksReply, LimitClass.ORDINARY, True, page_of(page, limit) | asked)


def task(id: int) -> Request[TaskReply]:
    """One task. Raises, when sent, CrmMissing."""
    return Request("GET", f"{TASKS}/{positive(id)}", TaskReply, LimitClass.ORDINARY, True)


def create_task(task: TaskFields, site: str | None = None) -> Request[Created]:
    """A new task. It has a text and somebody who is to do it. Created twice it is there twice."""
    if not task.text or task.performer is None:
        raise ValueError("a task says what is to be done and who is to do it")
    form = filled(site=site, task=task.fields(site))
    return Request("POST", f"{TASKS}/create", Created, LimitClass.ORDINARY, False, form=form)


def edit_task(id: int, task: TaskFields, site: str | None = None) -> Request[Accepted]:
    """Only what *task* says is changed; RetailCRM may want *performer* each time."""
    form = filled(site=site, task=task.fields(site))
    return Request("POST", f"{TASKS}/{positive(id)}/edit", Accepted, LimitClass.ORDINARY, True, form=form)


def _customer(key: int | str, site: str | None) -> dict[str, object]:
    return {"id": positive(key)} if isinstance(key, int) else filled(externalId=external(key), site=site)
