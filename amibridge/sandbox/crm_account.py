"""One RetailCRM account: what its operators see and what its history holds. Time is passed in.

Laws: a popup belongs to one operator and one call; `in` and `out` open it, `hangup` closes it; nothing else does.
A call known by its externalId is never stored again. What changed is returned, the caller passes it on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from amibridge.sandbox.crm_customers import Customers, full_name
from amibridge.sandbox.crm_forms import DATE_FORMAT, CallEvent, IntegrationModule, UploadedCall
from amibridge.sandbox.crm_history import History
from amibridge.sandbox.crm_orders import Orders
from amibridge.sandbox.crm_ways import Otherwise

REMEMBERED_POPUPS = 200
"""Closed popups kept for the page, which shows them for some seconds."""


@dataclass(frozen=True, slots=True)
class SandboxUser:
    """*code*: the extension; None for a user who has no phone."""

    id: int
    name: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class SandboxAccount:
    """*site*: symbolic code of its one store. *customers*: names by phone number, of those it knows at first.

    *scopes*: rights of the key, None for all. *needs_module*: no telephony until a module is registered.
    What of RetailCRM nobody documents: *finds_parts*: a part of a name or number is enough to find a customer.
    *ignores_unknown*: a filter that a list does not have is passed over, and everything is found. *otherwise*: in what
    it does otherwise than amibridge assumes.
    """

    site: str
    api_key: str = field(repr=False)
    time_zone: ZoneInfo
    users: Sequence[SandboxUser]
    name: str
    customers: Mapping[str, str] = field(default_factory=dict)
    scopes: frozenset[str] | None = None
    needs_module: bool = False
    finds_parts: bool = True
    ignores_unknown: bool = False
    otherwise: frozenset[Otherwise] = frozenset()


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """One accepted `call/event`. *users*: ids of those it was for and whom the account knows."""

    at: datetime
    kind: Literal["in", "out", "hangup"]
    phone: str
    codes: tuple[str, ...]
    user_ids: tuple[int, ...]
    users: tuple[int, ...]
    hangup_status: str | None
    external_phone: str | None
    call_external_id: str | None
    site: str | None


@dataclass(frozen=True, slots=True)
class Popup:
    """*rings*: how many events said it. *call*: callExternalId, or the phone number of an event without one."""

    user: int
    call: str
    kind: Literal["in", "out"]
    phone: str
    customer: str | None
    external_phone: str | None
    opened_at: datetime
    rings: int = 1
    closed_at: datetime | None = None
    hangup_status: str | None = None


@dataclass(frozen=True, slots=True)
class StoredCall:
    """An uploaded call. *date*: aware, in the account's zone; *duration* and *duration_waiting* in seconds."""

    received_at: datetime
    date: datetime
    kind: Literal["in", "out"]
    phone: str
    result: str
    external_id: str
    duration: int | None
    duration_waiting: int | None
    code: str | None
    user_id: int | None
    record_url: str | None
    external_phone: str | None
    site: str | None
    client_id: str | None
    source: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PopupOpened:
    account: str
    popup: Popup


@dataclass(frozen=True, slots=True)
class PopupClosed:
    account: str
    popup: Popup


@dataclass(frozen=True, slots=True)
class CallStored:
    account: str
    call: StoredCall


@dataclass(frozen=True, slots=True)
class RecordsChanged:
    """Customers, orders, tasks, notices or people are not what they were."""

    account: str


AccountChange: TypeAlias = PopupOpened | PopupClosed | CallStored | RecordsChanged


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification in the corner of the page. *message*: HTML."""

    at: datetime
    kind: str
    message: str
    users: tuple[int, ...]
    groups: tuple[str, ...]


class CrmAccount:
    """*popups*: every event heard, in order. *calls*: the history, in order of arrival. *tasks*: by id.

    *statuses*: what people said of themselves last. *codes*: extensions of users by id.
    """

    def __init__(self, account: SandboxAccount) -> None:
        self.account = account
        self.popups: list[HeardEvent] = []
        self.calls: list[StoredCall] = []
        self.modules: dict[str, IntegrationModule] = {}
        self.uploads = 0
        self.duplicates: list[str] = []
        self.users: dict[int, SandboxUser] = {user.id: user for user in account.users}
        self.codes = {user.id: user.code for user in account.users if user.code is not None}
        self.statuses: dict[int, str] = {}
        self.customers = Customers(
            account.site,
            History("customer", account.time_zone),
            account.customers,
            substrings=account.finds_parts,
        )
        self.orders = Orders(account.site, History("order", account.time_zone), self.customers)
        self.tasks: dict[int, dict[str, Any]] = {}
        self.notices: list[Notice] = []
        self._open: dict[tuple[int, str], Popup] = {}
        self._closed: deque[Popup] = deque(maxlen=REMEMBERED_POPUPS)
        self._known: dict[str, StoredCall] = {}

    @property
    def telephony_enabled(self) -> bool:
        """As long as a module with telephony is active and not frozen; also before there is any, if that may be."""
        return (not self.modules and not self.account.needs_module) or any(
            module.active and not module.freeze and module.integrations.telephony for module in self.modules.values()
        )

    def user(self, user_id: int | None, code: str | None) -> SandboxUser | None:
        if user_id is not None:
            return self.users.get(user_id)
        return next((self.users[id] for id, known in self.codes.items() if known == code), None)

    def customer_name(self, phone: str) -> str | None:
        found = self.customers.with_phone(phone)
        return None if found is None else full_name(found) or None

    def open_popups(self, user: int | None = None) -> list[Popup]:
        """What is on the screen of *user* (or of all), oldest first."""
        return [popup for popup in self._open.values() if user in (None, popup.user)]

    def closed_popups(self, since: datetime) -> list[Popup]:
        return [popup for popup in self._closed if popup.closed_at is not None and popup.closed_at >= since]

    def hear(self, event: CallEvent, at: datetime) -> tuple[HeardEvent, list[AccountChange]]:
        codes, user_ids = tuple(event.codes or ()), tuple(event.user_ids or ())
        told = [self.user(None, code) for code in codes] + [self.user(user_id, None) for user_id in user_ids]
        heard = HeardEvent(
            at=at,
            kind=event.type,
            phone=event.phone,
            codes=codes,
            user_ids=user_ids,
            users=tuple(dict.fromkeys(user.id for user in told if user is not None)),
            hangup_status=event.hangup_status,
            external_phone=event.external_phone,
            call_external_id=event.call_external_id,
            site=event.site,
        )
        self.popups.append(heard)
        return heard, [change for user in heard.users for change in self._show(user, heard)]

    def _show(self, user: int, heard: HeardEvent) -> list[AccountChange]:
        call = heard.call_external_id or heard.phone
        if heard.kind == "hangup":
            popup = self._open.pop((user, call), None)
            if popup is None:
                return []
            closed = replace(popup, closed_at=heard.at, hangup_status=heard.hangup_status)
            self._closed.append(closed)
            return [PopupClosed(self.account.name, closed)]
        before = self._open.get((user, call))
        if before is not None:
            self._open[user, call] = replace(before, rings=before.rings + 1)
            return []
        popup = Popup(
            user=user,
            call=call,
            kind=heard.kind,
            phone=heard.phone,
            customer=self.customer_name(heard.phone),
            external_phone=heard.external_phone,
            opened_at=heard.at,
        )
        self._open[user, call] = popup
        return [PopupOpened(self.account.name, popup)]

    def store(self, calls: Sequence[UploadedCall], at: datetime) -> tuple[list[str], list[AccountChange]]:
        """(externalIds that were known already, what changed)."""
        self.uploads += 1
        repeated: list[str] = []
        changes: list[AccountChange] = []
        for call in calls:
            if call.external_id in self._known:
                repeated.append(call.external_id)
                continue
            stored = self._stored(call, at)
            self._known[call.external_id] = stored
            self.calls.append(stored)
            changes.append(CallStored(self.account.name, stored))
        self.duplicates += repeated
        return repeated, changes

    def _stored(self, call: UploadedCall, at: datetime) -> StoredCall:
        return StoredCall(
            received_at=at,
            date=datetime.strptime(call.date, DATE_FORMAT).replace(tzinfo=self.account.time_zone),
            kind=call.type,
            phone=call.phone,
            result=call.result,
            external_id=call.external_id,
            duration=call.duration,
            duration_waiting=call.duration_waiting,
            code=call.code,
            user_id=call.user_id,
            record_url=call.record_url,
            external_phone=call.external_phone,
            site=call.site,
            client_id=call.client_id,
            source={} if call.source is None else call.source.model_dump(exclude_none=True),
        )
