"""A notice in the corner of the CRM's page, for users or for whole groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from amibridge.retailcrm.fields import filled, positive
from amibridge.retailcrm.requests import LimitClass, Request
from amibridge.retailcrm.written import Accepted


class NoticeKind(StrEnum):
    PLAIN = "api.info"
    ERROR = "api.error"


def send_notification(
    message: str,
    *,
    kind: NoticeKind = NoticeKind.PLAIN,
    user_ids: Sequence[int] = (),
    user_groups: Sequence[str] = (),
) -> Request[Accepted]:
    """*message* is HTML: whoever puts foreign text into it escapes it. Sent twice it is shown twice."""
    if not message:
        raise ValueError("a notice says something")
    if not user_ids and not user_groups:
        raise ValueError("a notice must be for somebody")
    notification = filled(
        type=kind.value,
        message=message,
        userIds=[positive(id) for id in user_ids] or None,
        userGroups=list(user_groups) or None,
    )
    path = "/api/v5/notifications/send"
    return Request("POST", path, Accepted, LimitClass.ORDINARY, False, form={"notification": notification})
