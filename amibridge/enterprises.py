"""Who we work for: plain, frozen descriptions of enterprises. `ami` and `calls` never see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from zoneinfo import ZoneInfo

from amibridge.calls.clicks import Dialling
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.redact import Secret
from amibridge.tallies import CrmTally, HostTally

EnterpriseId = NewType("EnterpriseId", str)
"""The enterprise's number, e.g. ``"0123"``: first column of every key."""

HostName = NewType("HostName", str)
"""Name of an Asterisk host, unique within its enterprise."""


class Credit(StrEnum):
    """Who is credited with a call that several operators talked in."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Account:
    """A RetailCRM account. *url* has no trailing slash and no path. *enterprise*: whose it is, for the ledger alone."""

    url: str
    api_key: Secret
    site: str | None = None
    enterprise: EnterpriseId | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AmiHost:
    enterprise: EnterpriseId
    name: HostName
    host: str
    port: int
    username: str
    secret: Secret
    numbering: Numbering = field(default_factory=Numbering)
    originate_channel: str = "PJSIP/{extension}"
    originate_context: str = "from-internal"
    originate_number: Dialling = Dialling.AS_GIVEN
    recordings: str | None = None
    recordings_password: Secret | None = None


class LinkState(StrEnum):
    """How far we have come with one host."""

    CONNECTING = "connecting"
    UP = "up"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class HostStanding:
    """How one host stands *since* when, and why.

    *ami*: the version of the protocol, not Asterisk's. *events* and *garbled*: messages since we follow it. *lag*: how
    late its events came at worst within the last minute or two; *ahead*: its clock of ours, None when it was not heard.
    """

    host: AmiHost
    state: LinkState
    since: datetime
    reason: str | None
    ami: str
    events: int
    garbled: int
    lag: timedelta = timedelta(0)
    ahead: timedelta | None = None
    tally: HostTally = field(default_factory=HostTally)


@dataclass(frozen=True, slots=True)
class CrmStanding:
    """How one enterprise stands with its CRM *since* when, and why: *state* is well, troubled or paused.

    *answers*: what its account said to all that it was asked, by the kinds of `retailcrm.errors`.
    """

    enterprise: EnterpriseId
    state: str
    since: datetime
    reason: str | None
    tally: CrmTally = field(default_factory=CrmTally)
    answers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryStanding:
    """How one *history* of a CRM, customers or orders, is followed.

    *read_at*: when it was last read, None if not since our start. *reason*: why it is not followed now, None if it is.
    """

    enterprise: EnterpriseId
    history: str
    read_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A system of the enterprise's own that is told of its calls. *events*: words of facts, None for all of them.

    What it is told is signed with *secret*, and with *previous_secret*, too, while the receiver changes over.
    """

    name: str
    url: str
    secret: Secret
    previous_secret: Secret | None = None
    events: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class WebhookStanding:
    """How one webhook stands *since* when, and why: *state* in the words of `CrmStanding`. *settled*: by its status."""

    enterprise: EnterpriseId
    webhook: str
    state: str
    since: datetime
    reason: str | None
    settled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModuleStanding:
    """What the CRM said last of our module there, at *told_at*; None: it never said anything.

    *frozen*: by RetailCRM itself, for its bills. *moved_from*: the address in the enterprise's file, when the CRM named
    the one that is used now. *unheeded*: an address that it named, too, and that is not one to send a key to.
    """

    active: bool = True
    frozen: bool = False
    told_at: datetime | None = None
    moved_from: str | None = None
    unheeded: str | None = None

    @property
    def works(self) -> bool:
        return self.active and not self.frozen


@dataclass(frozen=True, slots=True)
class Operator:
    extension: Extension
    user: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    number: str
    site: str | None = None
    name: str | None = None


class Scope(StrEnum):
    """What whoever presents a token may ask for: make calls, listen in on them, read them, hear recordings."""

    CALL = "call"
    SUPERVISE = "supervise"
    READ = "read"
    RECORDINGS = "recordings"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """*digest*: SHA-256 of the token, which nobody keeps. *expires_at* None: never."""

    id: int
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


class ResponsibleMode(StrEnum):
    """What the question of an older bridge's dialplan is answered with."""

    OFF = "off"
    NAME = "name"
    ROUTE = "route"


class Fallback(StrEnum):
    """Who should take the call of somebody whom nobody looks after."""

    NONE = "none"
    LAST_CALL = "last_call"


class NamePart(StrEnum):
    """What the name that an operator's phone shows is made of."""

    LINE = "line"
    CUSTOMER = "customer"
    SHOP = "shop"


@dataclass(frozen=True, slots=True)
class ResponsibleSettings:
    """*dialplan*: the context that rings ``{extension}`` for a call on ``{line}``, of an older bridge's dialplan."""

    mode: ResponsibleMode = ResponsibleMode.OFF
    dialplan: str = "mngr{extension}_{line}_1"
    fallback: Fallback = Fallback.NONE
    name: tuple[NamePart, ...] = (NamePart.CUSTOMER,)


@dataclass(frozen=True, slots=True)
class MissedCalls:
    """How a missed call is followed up in the CRM, where tasks or orders are wanted.

    *wait*: so long somebody may reach the customer before anything is made. *never_for*: numbers, E.164, for which
    nothing is. *text*: what people read there, before number and time. *performer*: the CRM's user who gets the tasks
    about customers of no operator; *task_within*: until when they are to be done. The order's words are codes of the
    account, None as the CRM pleases; *order_status_reached* None leaves the order as it is.
    """

    wait: timedelta = timedelta(minutes=3)
    never_for: tuple[str, ...] = ()
    performer: int | None = None
    text: str = "Пропущенный звонок"
    task_within: timedelta = timedelta(hours=1)
    order_method: str | None = None
    order_type: str | None = None
    order_status: str | None = None
    order_status_reached: str | None = None


@dataclass(frozen=True, slots=True)
class Enterprise:
    """*time_zone* None: ask the CRM's settings before the first history upload. *module_code* None: our usual one.

    *recordings_keep*: for how long after a call its recording can be heard; None: as long as it is there.
    *links_valid*: for how long a link to it is; None: as long as it is kept. *supervisors*: whose phones may listen in
    on others, and nobody else's then; none: nobody's, unless a token with that scope asks.
    """

    id: EnterpriseId
    name: str
    account: Account
    hosts: tuple[AmiHost, ...]
    client_id: str
    webhook_secret: Secret
    time_zone: ZoneInfo | None = None
    region: str = "RU"
    operators: Mapping[Extension, Operator] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)
    credit: Credit = Credit.FIRST
    create_customers: bool = True
    create_orders: bool = False
    create_tasks: bool = False
    missed_calls: MissedCalls = field(default_factory=MissedCalls)
    module_code: str | None = None
    module: ModuleStanding = field(default_factory=ModuleStanding)
    tokens: tuple[ApiToken, ...] = ()
    responsible: ResponsibleSettings = field(default_factory=ResponsibleSettings)
    recordings_keep: timedelta | None = None
    links_valid: timedelta | None = None
    supervisors: tuple[Extension, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
