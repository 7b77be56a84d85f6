"""The verbs of RetailCRM's API that we use, each a `Request`: plain data, without the account and without its key.

Laws: a body is a form whose structured fields are JSON text; the same meaning gives the same bytes; a request that
the contract forbids cannot be built (ValueError). Fields are RetailCRM's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Generic, Literal, TypeVar
from urllib.parse import urlencode

from amibridge.retailcrm.fields import filled, local
from amibridge.retailcrm.replies import CallEventReply, CallsUploadReply, CredentialsReply, Reply, SettingsReply

ReplyT = TypeVar("ReplyT", bound=Reply)

MAX_CALLS = 50
"""Calls in one upload, set by RetailCRM."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class LimitClass(Enum):
    """RetailCRM counts `/telephony` methods apart from all others."""

    TELEPHONY = "telephony"
    ORDINARY = "ordinary"


class EventType(StrEnum):
    IN = "in"
    OUT = "out"
    HANGUP = "hangup"


class HangupStatus(StrEnum):
    """How a call ended, in events. Mind ``no answered``: an upload says it otherwise."""

    ANSWERED = "answered"
    NO_ANSWERED = "no answered"
    BUSY = "busy"
    CANCEL = "cancel"
    FAILED = "failed"


class CallType(StrEnum):
    IN = "in"
    OUT = "out"


class CallResult(StrEnum):
    """How a call ended, in uploads. Mind ``no answer``: an event says it otherwise."""

    ANSWERED = "answered"
    NO_ANSWER = "no answer"
    BUSY = "busy"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request(Generic[ReplyT]):
    """*repeatable*: asking twice does what asking once does. *reply*: the type of the answer.

    *partial*: an answer that some of it was taken and some was not is a reply, too. *nothing*: whether a reply brought
    nothing, of what is asked every few minutes.
    """

    method: Literal["GET", "POST"]
    path: str
    reply: type[ReplyT]
    limit: LimitClass
    repeatable: bool
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, object] = field(default_factory=dict)
    partial: bool = False
    nothing: Callable[[ReplyT], bool] | None = None

    def encoded(self) -> tuple[str, bytes | None, dict[str, str]]:
        """(path and query, body, headers); no body and no headers without a form."""
        address = f"{self.path}?{urlencode(self.query)}" if self.query else self.path
        if not self.form:
            return address, None, {}
        fields = {name: value if isinstance(value, str) else _json(value) for name, value in self.form.items()}
        return address, urlencode(fields).encode("ascii"), dict(_FORM)


@dataclass(frozen=True, slots=True)
class UploadedCall:
    """One finished call. *date*: its start, aware, in the account's time zone. Durations in whole seconds.

    At most one of *code* (extension) and *user_id* names who is credited with it.
    """

    date: datetime
    type: CallType
    phone: str
    result: CallResult
    external_id: str
    duration: int
    duration_waiting: int
    code: str | None = None
    user_id: int | None = None
    record_url: str | None = None
    external_phone: str | None = None
    site: str | None = None


def call_event(
    *,
    type: EventType,
    phone: str,
    codes: Sequence[str] = (),
    user_ids: Sequence[int] = (),
    hangup_status: HangupStatus | None = None,
    external_phone: str | None = None,
    call_external_id: str | None = None,
    site: str | None = None,
) -> Request[CallEventReply]:
    """Open or close the popups of *codes* (extensions) and *user_ids*. *phone* is the outside party's, always."""
    if not codes and not user_ids:
        raise ValueError("a call event must be for somebody")
    if (type is EventType.HANGUP) is (hangup_status is None):
        raise ValueError("a hangup has a status, and only a hangup has one")
    event = filled(
        phone=phone,
        type=type.value,
        codes=list(codes) or None,
        userIds=list(user_ids) or None,
        hangupStatus=hangup_status and hangup_status.value,
        externalPhone=external_phone,
        callExternalId=call_external_id,
        site=site,
    )
    return Request(
        "POST",
        "/api/v5/telephony/call/event",
        CallEventReply,
        LimitClass.TELEPHONY,
        repeatable=False,
        form={"event": event},
    )


def calls_upload(calls: Sequence[UploadedCall], site: str | None = None) -> Request[CallsUploadReply]:
    """Put calls into the CRM's history, at most 50. *site* is the store of the calls that name none."""
    if not 0 < len(calls) <= MAX_CALLS:
        raise ValueError(f"an upload has 1 to {MAX_CALLS} calls, not {len(calls)}")
    return Request(
        "POST",
        "/api/v5/telephony/calls/upload",
        CallsUploadReply,
        LimitClass.TELEPHONY,
        repeatable=True,
        form={"calls": [_uploaded(call, site) for call in calls]},
    )


def settings() -> Request[SettingsReply]:
    return Request("GET", "/api/v5/settings", SettingsReply, LimitClass.ORDINARY, repeatable=True)


def credentials() -> Request[CredentialsReply]:
    """What the key may do; the one method here that has no version in its path."""
    return Request("GET", "/api/credentials", CredentialsReply, LimitClass.ORDINARY, repeatable=True)


def _uploaded(call: UploadedCall, site: str | None) -> dict[str, object]:
    if call.code is not None and call.user_id is not None:
        raise ValueError("a call is credited to a code or to a user, not to both")
    return filled(
        date=local(call.date),
        type=call.type.value,
        phone=call.phone,
        code=call.code,
        userId=call.user_id,
        result=call.result.value,
        duration=call.duration,
        durationWaiting=call.duration_waiting,
        externalId=call.external_id,
        recordUrl=call.record_url,
        externalPhone=call.external_phone,
        site=call.site or site,
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
