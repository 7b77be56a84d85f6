"""`amibridge resend`: what was given up is due again, because somebody mended the reason.

Law: a popup is never sent again, for it would be late; what the CRM or a webhook has is never told twice; each that is
left out is named with its reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import assert_never

from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId
from amibridge.cli.configured import begin, in_loop
from amibridge.cli.stored import must_be_known, open_store, show
from amibridge.config import Settings
from amibridge.enterprises import EnterpriseId
from amibridge.store.outbox import DeliveryRow, DeliveryStatus, Outbox


def resend(args: argparse.Namespace) -> int:
    settings, number = begin(args), EnterpriseId(args.number)
    if args.ids:
        return in_loop(resend_ids(settings, number, args.ids))
    return in_loop(_resend_given_up(settings, number, CallId(args.call) if args.call else None))


async def resend_ids(settings: Settings, number: EnterpriseId, ids: Sequence[int]) -> int:
    """Exit code 1 when one of them cannot be sent again."""
    async with open_store(settings) as pool:
        outbox = Outbox(pool)
        resent = await outbox.resend(number, ids)
        left = {row.id: row for row in await outbox.of_ids(number, sorted(set(ids) - set(resent)))}
        if not resent and not left:
            await must_be_known(number, pool)
    _tell(resent)
    for sentence in _refusals(sorted(set(ids) - set(resent)), left):
        print(f"amibridge: not resent: {sentence}", file=sys.stderr)
    return 0 if set(ids) == set(resent) else 1


async def _resend_given_up(settings: Settings, number: EnterpriseId, call: CallId | None) -> int:
    async with open_store(settings) as pool:
        outbox = Outbox(pool)
        resent = await outbox.resend(number, await outbox.given_up(number, call))
        if not resent:
            await must_be_known(number, pool)
    _tell(resent)
    if not resent:
        where = "" if call is None else f" of {call}"
        print(f"amibridge: of {number} nothing{where} was given up", file=sys.stderr)
    return 0


def _tell(resent: Sequence[int]) -> None:
    for one in sorted(resent):
        show({"id": one, "status": DeliveryStatus.DUE})
    if resent:
        print("amibridge: a running bridge takes them up within a minute", file=sys.stderr)


def _refusals(ids: Sequence[int], rows: dict[int, DeliveryRow]) -> Iterator[str]:
    for one in ids:
        row = rows.get(one)
        yield f"{one}: {'there is no such delivery, or none any more' if row is None else _refusal(row)}"


def _refusal(row: DeliveryRow) -> str:
    if row.kind is NoticeKind.POPUP:
        return "a popup is news, and none is sent late"
    match row.status:
        case DeliveryStatus.DUE:
            return "it is due already"
        case DeliveryStatus.SENT:
            return f"{row.webhook or 'the CRM'} has it"
        case DeliveryStatus.PARKED | DeliveryStatus.DROPPED:
            if row.webhook:
                return f"there is no webhook {row.webhook} any more"
            return "somebody changed it at this moment: ask again"
        case _ as never:
            assert_never(never)
