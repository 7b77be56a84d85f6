"""What calls look like to other software: what may be asked of them, and the answers. Fields: docs/call-record.md."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from amibridge.calls.facts import StopCause
from amibridge.calls.model import Presence
from amibridge.calls.notices import NoticeKind
from amibridge.calls.parties import Side
from amibridge.calls.record import Direction, HangupBy, Outcome, TransferKind
from amibridge.store.codec import FACT_TYPES
from amibridge.store.outbox import DeliveryStatus
from amibridge.web.api.endpoint import Ask
from amibridge.web.api.texts import Flag, Limit, Moment, Name, Place, Words


class CallsAsk(Ask):
    phone: Annotated[str | None, Field(pattern=r"^[+ ]?[0-9]{2,20}$")] = Field(
        None, description="The customer's number, E.164 or as it is dialled in the enterprise's region."
    )
    operator: Name | None = Field(None, description="An extension that called, rang or talked.")
    direction: Direction | None = Field(None, description="Seen from the enterprise.")
    outcome: Outcome | None = Field(None, description="A call that goes on has none.")
    since: Moment | None = Field(None, description="Calls that began then or later.")
    until: Moment | None = Field(None, description="Calls that began before.")
    live: Flag | None = Field(None, description="Only calls that go on, or only those that are over.")
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,16}~[0-9A-Za-z:._-]{1,200}$")] = Field(
        None, description="The `next` of the page before."
    )
    limit: Limit = Field(50, description="How many on a page.")


class CallAsk(Ask):
    id: Name = Field(description="The `call_id` of a record.")


class EventsAsk(Ask):
    headers: ClassVar[frozenset[str]] = frozenset({"Last-Event-ID"})

    events: Words | None = Field(None, description="Only these, with commas between them.")
    call: Name | None = Field(None, description="Only those of one call, by its `call_id`.")
    last_event_id: Place | None = Field(
        None, description="What came after that event first; 0: all that was ever said. Without it, from now on."
    )
    resumed_after: Place | None = Field(
        None, alias="Last-Event-ID", description="The same, as browsers say it when they come again; it goes first."
    )


class CallRequestsAsk(CallAsk):
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,18}$")] = Field(
        None, description="The `next` of the page before."
    )
    limit: Limit = Field(50, description="How many on a page.")


class DeliveriesAsk(Ask):
    status: DeliveryStatus | None = Field(None, description="What became of them.")
    kind: NoticeKind | None = Field(
        None, description="Of which kind: `webhook` is what webhooks are told, all others the CRM."
    )
    call: Name | None = Field(None, description="The `call_id` of a record.")
    since: Moment | None = Field(None, description="Deliveries that were made then or later.")
    until: Moment | None = Field(None, description="Deliveries that were made before.")
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,16}~[0-9]{1,18}$")] = Field(
        None, description="The `next` of the page before."
    )
    limit: Limit = Field(50, description="How many on a page.")


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TransferShape(Answer):
    kind: TransferKind
    from_: str = Field(alias="from")
    to: str
    at: datetime
    answered: bool


class CallShape(Answer):
    """A call record: docs/call-record.md. One that goes on has no outcome and no end."""

    call_id: str
    direction: Direction
    outcome: Outcome | None
    reason: str | None
    external_number: str | None
    phone: str | None
    caller_name: str | None
    line: str | None
    queue: str | None
    rang: list[str]
    operators: list[str]
    caller: str | None
    started_at: datetime
    rang_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    waited_seconds: float
    talk_seconds: float
    hangup_by: HangupBy | None
    transfers: list[TransferShape]
    recordings: list[str]
    click_to_call: str | None
    complete: bool
    notes: list[str]


class AttemptShape(Answer):
    """One time that one phone was tried for the call."""

    extension: str
    rang_at: datetime | None
    joined_at: datetime | None
    left_at: datetime | None
    outcome: str


class PartyShape(Answer):
    """Somebody on a call that goes on. *extension*: null for the customer."""

    side: Side
    extension: str | None
    presence: Presence


class DeliveryShape(Answer):
    """What the CRM, or the webhook of that name, was told of the call or is still to be told; what it answered last."""

    id: int
    call_id: str
    kind: NoticeKind
    webhook: str | None
    fact: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    fresh_until: datetime | None
    answer: str | None
    created_at: datetime
    settled_at: datetime | None


class RequestShape(Answer):
    """One request to the CRM, masked: the *attempt*-th of these *deliveries*.

    *http_status*: null where no answer came. *failure*: why it was no success. *verdict*: what became of these
    deliveries; *next_attempt_at*: when those are tried again that are still due.
    """

    id: int
    at: datetime
    verb: str
    address: str
    calls: list[str]
    deliveries: list[int]
    attempt: int
    http_status: int | None
    took_seconds: float
    failure: str | None
    verdict: str | None
    next_attempt_at: datetime | None
    request: str
    answer: str


class CallsAnswer(Answer):
    """*next*: the cursor of what is older, null if there is nothing."""

    calls: list[CallShape]
    next: str | None


class CallAnswer(CallShape):
    """A call record with its attempts, its deliveries, and the parties who are on it while it goes on."""

    attempts: list[AttemptShape]
    parties: list[PartyShape]
    deliveries: list[DeliveryShape]


class DeliveriesAnswer(Answer):
    deliveries: list[DeliveryShape]


class RecordingShape(Answer):
    """*number*: from one, in the order of the record's `recordings`. *path*: as the PBX wrote it."""

    number: int
    path: str
    url: str | None
    expires_at: datetime | None


class RecordingsAnswer(Answer):
    recordings: list[RecordingShape]


class ToldTransferShape(Answer):
    """*answered*: whether it led to somebody else; null while that is open."""

    kind: TransferKind
    from_: str = Field(alias="from")
    to: str
    answered: bool | None


class EventShape(Answer):
    """What follows `data:`. *id*: also behind `id:`; *event*: also behind `event:`. *extension*: who rang, talked,
    stopped or holds; *cause*: why he stopped; *transfer*: who handed the call on, and to whom; *into*: which call
    this one was a part of; *call*: the record, once the call is over."""

    id: int
    event: Annotated[str, WithJsonSchema({"type": "string", "enum": [*FACT_TYPES]})]
    at: datetime
    call_id: str
    direction: Direction
    phone: str | None
    external_number: str | None
    caller_name: str | None
    line: str | None
    caller: str | None
    extension: str | None
    cause: StopCause | None
    transfer: ToldTransferShape | None
    into: str | None
    call: CallShape | None


class DeliveryPageAnswer(Answer):
    """*next*: the cursor of what is older, null if there is nothing."""

    deliveries: list[DeliveryShape]
    next: str | None


class RequestsAnswer(Answer):
    """*next*: the cursor of what came later, null if there is nothing."""

    requests: list[RequestShape]
    next: str | None


class Error(Answer):
    """*error*: a code for programs; *detail*: a sentence for people."""

    success: Literal[False]
    error: str
    detail: str
