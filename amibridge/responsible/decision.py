"""Who should take a call, given all that is known of the caller. The only place where that is decided.

Laws: RetailCRM's own answer outweighs the mirror, and both outweigh the last call; an extension is one of ours, for
whatever people enter in the CRM must not make us dial a foreign number; who is not free is not replaced. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from amibridge.calls.record import Extension
from amibridge.enterprises import Enterprise, Fallback
from amibridge.responsible.answer import Because, Nobody, Somebody, Verdict, Why
from amibridge.responsible.presence import Presence
from amibridge.retailcrm.phone_lookup import Manager, ManagerReply
from amibridge.retailcrm.users import UserStatus

DIALABLE = re.compile(r"[0-9A-Za-z_.*#+-]{1,64}")
"""What may be put into a dialplan unseen: nothing of it ends a word or means something there."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Of the mirror. *name*: empty when nobody wrote one. *manager*: the CRM's user who looks after him."""

    id: int
    name: str
    site: str | None = None
    manager: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Of one phone. *told*: the CRM's own answer, None before it gave one. *talked*: who talked in his last call, in
    order."""

    customer: Customer | None = None
    talked: tuple[Extension, ...] = ()
    told: ManagerReply | None = None

    @property
    def manager(self) -> Manager | None:
        if self.told is not None and self.told.manager is not None:
            return self.told.manager
        return Manager(self.customer.manager) if self.customer is not None and self.customer.manager else None

    @property
    def name(self) -> str:
        """The customer's, empty when it is not known."""
        told = self.told.customer.name if self.told is not None and self.told.customer is not None else ""
        return (self.customer.name if self.customer is not None else "") or told


def decide(known: Known, enterprise: Enterprise, presence: Presence, now: datetime) -> Verdict:
    manager = known.manager
    if manager is not None:
        extension = extension_of(manager, enterprise)
        if extension is not None:
            return _if_free(extension, manager.id, Because.RESPONSIBLE, enterprise, presence, now)
    if enterprise.responsible.fallback is Fallback.LAST_CALL:
        last = next((one for one in reversed(known.talked) if _is_ours(one, enterprise)), None)
        if last is not None:
            operator = enterprise.operators.get(last)
            user = operator.user if operator is not None else None
            return _if_free(last, user, Because.LAST_CALL, enterprise, presence, now)
    return Nobody(_why(known, manager))


def extension_of(manager: Manager, enterprise: Enterprise) -> Extension | None:
    """By the file; where it does not name the user, by his code in the CRM. None: nothing that we may dial."""
    named = sorted(one.extension for one in enterprise.operators.values() if one.user == manager.id)
    if named:
        return Extension(manager.code) if manager.code in named else named[0]
    code = None if manager.code is None else Extension(manager.code)
    if code is None or not _is_ours(code, enterprise):
        return None
    operator = enterprise.operators.get(code)
    return code if operator is None or operator.user is None else None


def _is_ours(extension: Extension, enterprise: Enterprise) -> bool:
    named = extension in enterprise.operators or any(host.numbering.is_internal(extension) for host in enterprise.hosts)
    return named and DIALABLE.fullmatch(extension) is not None


def _if_free(
    extension: Extension, user: int | None, because: Because, enterprise: Enterprise, presence: Presence, now: datetime
) -> Verdict:
    status = presence.of(extension, user, now)
    match status:
        case UserStatus.FREE:
            operator = enterprise.operators.get(extension)
            return Somebody(extension, because, operator.name if operator is not None else None)
        case UserStatus.BUSY:
            return Nobody(Why.BUSY)
        case UserStatus.DINNER:
            return Nobody(Why.DINNER)
        case UserStatus.BREAK:
            return Nobody(Why.BREAK)
        case _ as never:
            assert_never(never)


def _why(known: Known, manager: Manager | None) -> Why:
    if manager is not None:
        return Why.NO_EXTENSION
    if known.told is None:
        return Why.NOT_TOLD
    return Why.UNKNOWN_CUSTOMER if known.customer is None and known.told.customer is None else Why.NO_MANAGER
