"""The customers of one account, as RetailCRM keeps them. Time is passed in.

Laws: phones stay as they were typed, and nobody is refused because of one; an externalId belongs to one customer, also
when he was merged; one who was merged is gone and says into whom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from amibridge.sandbox.crm_forms import FORMAT, Refused
from amibridge.sandbox.crm_history import OUR_KEY, Doer, History

LONG_AGO = "2020-05-25 12:49:00"
PHONE_TAIL = 10
"""Last digits by which two ways of writing one number are known to be the same."""


def digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def tail(phone: str) -> str:
    return digits(phone)[-PHONE_TAIL:]


class Customers:
    """Customers as RetailCRM writes them, by its id.

    *substrings*: whether a part of a name or number is enough to find somebody; nobody documents it.
    """

    def __init__(self, site: str, history: History, seeds: Mapping[str, str], *, substrings: bool) -> None:
        self.by_id: dict[int, dict[str, Any]] = {}
        self.history = history
        self._site = site
        self._substrings = substrings
        self._external: dict[str, int] = {}
        self._combined: dict[int, int] = {}
        self._last = 0
        for phone, name in seeds.items():
            self._put({"firstName": name, "phones": [{"number": phone}]}, LONG_AGO)

    def create(self, fields: Mapping[str, Any], at: datetime, by: Doer = OUR_KEY, site: str | None = None) -> int:
        """The id of a new customer. Raises Refused for an externalId that is known."""
        self.check_external(fields.get("externalId"))
        customer = self._put(fields, self.history.local(at), site)
        self.history.note(at, by, customer, "id", None, customer["id"], created=True)
        return int(customer["id"])

    def edit(self, id: int, fields: Mapping[str, Any], at: datetime, by: Doer = OUR_KEY) -> None:
        """*fields* that are lists replace what was there. Raises Refused for an externalId of somebody else."""
        customer = self.by_id[id]
        external_id = fields.get("externalId")
        if external_id is not None and self._external.get(external_id) != id:
            self.check_external(external_id)
            self._external[external_id] = id
        before = dict(customer)
        customer |= _settled(customer, fields)
        self.history.note_edit(at, by, self.stub(id), before, customer)

    def delete(self, id: int, at: datetime, by: Doer) -> None:
        stub = self.stub(id)
        del self.by_id[id]
        self.history.note(at, by, stub, "id", id, None, deleted=True)

    def combine(self, survivor: int, ids: Sequence[int], at: datetime, by: Doer) -> None:
        """Make one customer of several: phones are gathered, *ids* are gone and lead to *survivor*."""
        phones = list(self.by_id[survivor]["phones"])
        for id in ids:
            phones += [one for one in self.by_id[id]["phones"] if one not in phones]
            stub = self.stub(id)
            del self.by_id[id]
            self._combined[id] = survivor
            self.history.note(at, by, stub, "id", id, None, deleted=True, combinedTo=self.stub(survivor))
        self.edit(survivor, {"phones": phones}, at, by)

    def find(self, key: str, by: str) -> int:
        """The id of the one meant by *key*. Raises Refused, which says so when he was merged into another."""
        id = numbered(key) if by == "id" else self._external.get(key, 0)
        if id in self.by_id:
            return id
        survivor = self._combined.get(id)
        raise Refused(404, "Not found", more=None if survivor is None else {"combinedTo": {"id": survivor}})

    def named(self, text: str) -> Callable[[Mapping[str, Any]], bool]:
        """Whether a customer is found by *text*: his name, or the digits of his phones as they were typed."""
        wanted, number = text.strip().casefold(), digits(text)

        def fits(customer: Mapping[str, Any]) -> bool:
            name = full_name(customer).casefold()
            phones = [digits(item["number"]) for item in customer["phones"]]
            if self._substrings:
                return wanted in name or (bool(number) and any(number in phone for phone in phones))
            return wanted == name or (bool(number) and number in phones)

        return fits

    def with_phone(self, phone: str) -> dict[str, Any] | None:
        """The first who has that number, in whatever way it is written."""
        wanted = tail(phone)
        return next(
            (one for one in self.by_id.values() if any(tail(item["number"]) == wanted for item in one["phones"])), None
        )

    def stub(self, id: int) -> dict[str, Any]:
        """Who he is, as a history record says it."""
        return {name: self.by_id[id][name] for name in ("id", "externalId", "site") if name in self.by_id[id]}

    def check_external(self, external_id: str | None) -> None:
        """Raises Refused for one that is known."""
        if external_id is not None and external_id in self._external:
            raise Refused(400, FORMAT, {"externalId": "Customer with this externalId already exists."})

    def _put(self, fields: Mapping[str, Any], created_at: str, site: str | None = None) -> dict[str, Any]:
        self._last += 1
        customer: dict[str, Any] = {
            "type": "customer",
            "id": self._last,
            "isContact": False,
            "createdAt": created_at,
            "vip": False,
            "bad": False,
            "site": site or self._site,
            "tags": [],
            "marginSumm": 0,
            "totalSumm": 0,
            "averageSumm": 0,
            "ordersCount": 0,
            "customFields": [],
            "phones": [],
        }
        customer |= _settled(customer, fields)
        self.by_id[self._last] = customer
        if "externalId" in customer:
            self._external[customer["externalId"]] = self._last
        return customer


def numbered(key: str) -> int:
    """The id that a path names; 0, which nobody has, for what is none."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0


def full_name(customer: Mapping[str, Any]) -> str:
    return " ".join(customer[part] for part in ("firstName", "patronymic", "lastName") if customer.get(part))


def _settled(customer: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields* as they are kept: tags are added and removed, custom fields gathered."""
    settled = {name: value for name, value in fields.items() if name not in ("addTags", "removeTags", "browserId")}
    added, removed = fields.get("addTags", []), fields.get("removeTags", [])
    if added or removed:
        names = [tag["name"] for tag in customer["tags"] if tag["name"] not in removed]
        names += [name for name in added if name not in names]
        settled["tags"] = [{"name": name, "color": "#3e89b6", "attached": False} for name in names]
    if "customFields" in fields:
        settled["customFields"] = dict(customer["customFields"] or {}) | dict(fields["customFields"])
    return settled
