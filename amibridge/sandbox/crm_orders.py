"""The orders of one account, and its dictionaries of their statuses. Time is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from amibridge.sandbox.crm_customers import Customers, numbered
from amibridge.sandbox.crm_forms import FORMAT, Refused
from amibridge.sandbox.crm_history import OUR_KEY, Doer, History

GROUPS: Mapping[str, tuple[str, bool, tuple[str, ...]]] = {
    "new": ("Новый", False, ("new",)),
    "approval": ("Согласование", True, ("availability-confirmed", "client-confirmed", "prepayed")),
    "assembling": ("Комплектация", True, ("assembling", "assembling-complete")),
    "delivery": ("Доставка", True, ("send-to-delivery", "delivering")),
    "complete": ("Выполнен", False, ("complete",)),
    "cancel": ("Отменен", False, ("no-call", "no-product", "cancel-other")),
}
"""Group of statuses → (name, its orders are worked on, statuses), as a new account has them."""

STATUSES = {status: group for group, (_, _, statuses) in GROUPS.items() for status in statuses}
TYPES = {"eshop-individual": "Физическое лицо", "eshop-legal": "Юридическое лицо"}
METHODS = {"phone": "По телефону", "missed-call": "Пропущенный звонок", "shopping-cart": "Через корзину"}


class Orders:
    """Orders as RetailCRM writes them, by its id."""

    def __init__(self, site: str, history: History, customers: Customers) -> None:
        self.by_id: dict[int, dict[str, Any]] = {}
        self.history = history
        self._site = site
        self._customers = customers
        self._external: dict[str, int] = {}
        self._last = 0

    def create(self, fields: Mapping[str, Any], at: datetime, by: Doer = OUR_KEY, site: str | None = None) -> int:
        """The id of a new order. Raises Refused for words or customers that the account does not have."""
        given = self._checked(None, fields)
        self._last += 1
        now = self.history.local(at)
        order: dict[str, Any] = {
            "slug": self._last,
            "id": self._last,
            "number": f"{self._last}A" if by.source == "api" else f"{self._last}C",
            "orderType": "eshop-individual",
            "orderMethod": "shopping-cart" if by.source == "api" else "phone",
            "createdAt": now,
            "statusUpdatedAt": now,
            "summ": 0,
            "totalSumm": 0,
            "prepaySum": 0,
            "purchaseSumm": 0,
            "currency": "RUB",
            "call": False,
            "site": site or self._site,
            "status": "new",
            "items": [],
            "payments": [],
            "fromApi": by.source == "api",
            "customFields": [],
        } | given
        self.by_id[self._last] = order
        self._remember(order)
        self.history.note(at, by, order, "status", None, {"code": order["status"]}, created=True)
        return self._last

    def edit(self, id: int, fields: Mapping[str, Any], at: datetime, by: Doer = OUR_KEY) -> None:
        """Also what no key may write: sums and payments, as people and shops change them."""
        given, order = self._checked(id, fields), self.by_id[id]
        before = dict(order)
        order |= given
        if before["status"] != order["status"]:
            order["statusUpdatedAt"] = self.history.local(at)
        self._remember(order)
        changed = {name: order[name] for name in given}
        self.history.note_edit(at, by, self.stub(id), before, changed)

    def delete(self, id: int, at: datetime, by: Doer) -> None:
        stub = self.stub(id)
        del self.by_id[id]
        self.history.note(at, by, stub, "id", id, None, deleted=True)

    def find(self, key: str, by: str) -> int:
        """The id of the one meant by *key*. Raises Refused."""
        id = numbered(key) if by == "id" else self._external.get(key, 0)
        if id not in self.by_id:
            raise Refused(404, "Not found")
        return id

    def stub(self, id: int) -> dict[str, Any]:
        """Which it is, as a history record says it."""
        names = ("id", "externalId", "site", "managerId", "status")
        return {name: self.by_id[id][name] for name in names if name in self.by_id[id]}

    def _checked(self, id: int | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        complaints = {
            name: f"“{fields[name]}” does not exist."
            for name, known in (("status", STATUSES), ("orderType", TYPES), ("orderMethod", METHODS))
            if name in fields and fields[name] not in known
        }
        given = dict(fields)
        if self._external.get(fields.get("externalId", ""), id) != id:
            complaints["externalId"] = "Order with this externalId already exists."
        if "customer" in fields:
            try:
                given["customer"] = self._customer(fields["customer"])
            except Refused:
                complaints["customer"] = "This customer does not exist."
        if complaints:
            raise Refused(400, FORMAT, complaints)
        return given

    def _customer(self, said: Mapping[str, Any]) -> dict[str, Any]:
        by = "id" if "id" in said else "externalId"
        id = self._customers.find(str(said[by]), by)
        return {"type": "customer"} | self._customers.stub(id)

    def _remember(self, order: Mapping[str, Any]) -> None:
        if "externalId" in order:
            self._external[order["externalId"]] = order["id"]
