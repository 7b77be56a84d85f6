"""What RetailCRM does with tasks when asked: they are written with `performerId`, and told of with `performer`."""

from __future__ import annotations

from typing import Any

from amibridge.sandbox.crm_account import CrmAccount
from amibridge.sandbox.crm_ask import Answer, Ask, Method, among, changed, on_a_day, one_page, yes
from amibridge.sandbox.crm_customers import numbered
from amibridge.sandbox.crm_forms import FORMAT, Refused, read_entity
from amibridge.sandbox.crm_queries import TasksQuery
from amibridge.sandbox.crm_records import NEW_TASK, TASK, AtSite, TaskWrite


def _list(account: CrmAccount, ask: Ask) -> Answer:
    query = ask.asks(TasksQuery, lenient=account.account.ignores_unknown)
    found = [
        task
        for task in reversed(account.tasks.values())
        if among(task["id"], query.ids)
        and among(task["performer"], query.performers)
        and on_a_day(task["createdAt"], query.created_from, query.created_to)
    ]
    return one_page("tasks", found, query)


def _get(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    return yes(task=account.tasks[_known(account, ask)])


def _create(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    task, _ = read_entity("task", ask.form, NEW_TASK, AtSite)
    id = max(account.tasks, default=0) + 1
    now = account.customers.history.local(ask.at)
    account.tasks[id] = {"id": id, "createdAt": now, "complete": False} | _written(account, task)
    return changed(account, 201, id=id)


def _edit(account: CrmAccount, ask: Ask) -> Answer:
    ask.asks_nothing()
    task, _ = read_entity("task", ask.form, TASK, AtSite)
    id = _known(account, ask)
    account.tasks[id] |= _written(account, task)
    return changed(account)


def _written(account: CrmAccount, task: TaskWrite) -> dict[str, Any]:
    """As the task is told of then. Raises Refused for who is not there."""
    written = task.given()
    performer = written.pop("performerId", None)
    if performer is not None:
        if performer not in account.users:
            raise Refused(400, "Task is not loaded", {"performerId": "This user does not exist."})
        written |= {"performer": performer, "performerType": "user"}
    if task.customer is not None:
        by = "id" if task.customer.id is not None else "externalId"
        try:
            id = account.customers.find(str(task.customer.id or task.customer.external_id), by)
        except Refused:
            raise Refused(400, FORMAT, {"customer": "This customer does not exist."}) from None
        written["customer"] = {"type": "customer"} | account.customers.stub(id)
    return written


def _known(account: CrmAccount, ask: Ask) -> int:
    id = numbered(ask.path["key"])
    if id not in account.tasks:
        raise Refused(404, "Not found")
    return id


METHODS = (
    Method("GET", "/api/v5/tasks", _list, "task_read"),
    Method("GET", "/api/v5/tasks/(?P<key>[0-9]+)", _get, "task_read"),
    Method("POST", "/api/v5/tasks/create", _create, "task_write"),
    Method("POST", "/api/v5/tasks/(?P<key>[0-9]+)/edit", _edit, "task_write"),
)
