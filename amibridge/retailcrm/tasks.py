"""Tasks: what an operator is to do, such as to call somebody back.

The contract does not know them. Source: RetailCRM's own clients, api-client-php (`Model/Entity/Tasks/Task.php`,
`tests/src/ResourceGroup/TasksTest.php`) and api-client-go (`TestClient_TaskChange`); not tried on a live account.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from amibridge.retailcrm.fields import external, filled, local, positive
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.written import Accepted, Created


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


def create_task(task: TaskFields, site: str | None = None) -> Request[Created]:
    """A new task. It has a text and somebody who is to do it. Created twice it is there twice."""
    if not task.text or task.performer is None:
        raise ValueError("a task says what is to be done and who is to do it")
    form = filled(site=site, task=task.fields(site))
    return Request("POST", "/api/v5/tasks/create", Created, LimitClass.ORDINARY, False, form=form)


def edit_task(id: int, task: TaskFields, site: str | None = None) -> Request[Accepted]:
    """Only what *task* says is changed; RetailCRM may want *performer* each time."""
    form = filled(site=site, task=task.fields(site))
    return Request("POST", f"/api/v5/tasks/{positive(id)}/edit", Accepted, LimitClass.ORDINARY, True, form=form)


def _customer(key: int | str, site: str | None) -> dict[str, object]:
    return {"id": positive(key)} if isinstance(key, int) else filled(externalId=external(key), site=site)
