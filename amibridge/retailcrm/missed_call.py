"""A missed call as a task or an order of RetailCRM's. Pure.

Law: what is made of one call says the same however often it is rendered, and nothing else says it: a task is recognized
by its text, an order by its externalId.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from zoneinfo import ZoneInfo

from amibridge.calls.record import CallRecord
from amibridge.enterprises import Enterprise
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.names import name_of
from amibridge.retailcrm.orders import OrderFields
from amibridge.retailcrm.render import MAX_PHONE, site_of
from amibridge.retailcrm.tasks import TaskFields


@dataclass(frozen=True, slots=True)
class MissedCall:
    """*record* of *phone*, E.164. *zone*: the account's. *customer* None: the CRM has nobody with that number."""

    record: CallRecord
    phone: str
    enterprise: Enterprise
    zone: ZoneInfo
    customer: Customer | None

    @property
    def site(self) -> str | None:
        """The store that he called."""
        return site_of(self.record.line, self.enterprise)

    @property
    def external_id(self) -> str:
        """Of its order, wherever the account moves: two enterprises may share one, and name their PBXs alike."""
        call = f"{self.enterprise.id} {self.record.call_id}"
        return f"amibridge-missed-{sha256(call.encode()).hexdigest()[:32]}"

    @property
    def text(self) -> str:
        """Whom to call back: the enterprise's words, his number, when he called, and on which line."""
        at = self.record.started_at.astimezone(self.zone).strftime("%d.%m.%Y %H:%M:%S")
        line = (self.record.line or "")[:MAX_PHONE]
        said = f"{self.enterprise.missed_calls.text}: {self.phone}, {at}" + (f", {line}" if line else "")
        return " ".join(said.split())

    def task(self) -> TaskFields:
        """For the customer's manager if he is one of our operators, who work there still; else for who gets all others.

        Raises ValueError, when it is to be created, where nobody gets those.
        """
        wishes = self.enterprise.missed_calls
        manager = None if self.customer is None else self.customer.manager_id
        is_ours = any(operator.user == manager for operator in self.enterprise.operators.values())
        return TaskFields(
            text=self.text,
            until=((self.record.ended_at or self.record.started_at) + wishes.task_within).astimezone(self.zone),
            performer=manager if manager is not None and is_ours else wishes.performer,
            customer=None if self.customer is None else self.customer.id,
            phone=self.phone,
        )

    def order(self) -> OrderFields:
        """Without a customer RetailCRM makes one of it."""
        wishes = self.enterprise.missed_calls
        return OrderFields(
            external_id=self.external_id,
            customer=None if self.customer is None else self.customer.id,
            order_type=wishes.order_type,
            order_method=wishes.order_method,
            status=wishes.order_status,
            phone=self.phone,
            first_name=name_of(self.record.caller_name) or self.phone,
            manager_comment=self.text,
        )
