"""Questions about the histories by which customers and orders are followed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from amibridge.doctor.live.asking import RECENT, Answer, LiveAccount, Unasked
from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.history import CustomerHistoryReply, HistoryRecord, OrderHistoryReply
from amibridge.retailcrm.orders import Order

Reply: TypeAlias = CustomerHistoryReply | OrderHistoryReply

BOTH = ("customers", "orders")

JUST_NOW = timedelta(minutes=2)
"""A change that is younger may have been made between two questions."""

SOURCES = {"user", "api", "code"}
"""That were seen in RetailCRM's own examples."""


async def _first_pages(account: LiveAccount, least: int) -> list[tuple[str, Reply]]:
    """Of the last month, of those histories that have *least* records there."""
    start = await account.local(RECENT)
    pages = [(of, await account.history(of, start=start)) for of in BOTH]
    full = [(of, page) for of, page in pages if len(page.records) >= least]
    if not full:
        raise Unasked("its histories tell of too few changes in the last month")
    return full


def _ids(reply: Reply) -> list[int]:
    return [one.id for one in reply.records]


async def cursor(account: LiveAccount) -> Answer:
    wrong = []
    pages = await _first_pages(account, 2)
    for of, page in pages:
        first, *rest = _ids(page)
        behind = _ids(await account.history(of, since_id=first))
        if rest != sorted(rest) or first > rest[0]:
            wrong.append(f"{of} do not begin with the oldest")
        elif first in behind:
            wrong.append(f"{of} tell once more of the change that was named")
        elif behind[:1] != rest[:1]:
            wrong.append(f"{of} do not go on with the next change")
    asked = f"the histories of {' and '.join(of for of, _ in pages)}, behind a change of the last month"
    return Answer(not wrong, asked, "; ".join(wrong) or "they go on with the next one, oldest first")


async def start(account: LiveAccount) -> Answer:
    pages = await _first_pages(account, 2)
    asked = f"the histories of {' and '.join(of for of, _ in pages)} with filter[startDate]"
    early = []
    zone = await account.zone()
    for of, page in pages:
        times = sorted(at for one in page.records if (at := one.at) is not None)
        if len(set(times)) < 2:
            continue
        found = await account.history(of, start=times[-1].replace(tzinfo=zone))
        early.append(any(_before(one, times[-1]) for one in found.records))
    if not early:
        raise Unasked("all its changes are of one moment")
    return Answer(not any(early), asked, "they begin earlier" if any(early) else "they begin there")


def _before(record: HistoryRecord[Customer] | HistoryRecord[Order], at: datetime) -> bool:
    return record.at is not None and record.at < at


async def says_when_there_is_more(account: LiveAccount) -> Answer:
    wrong = []
    asked_at = (await account.local(JUST_NOW)).replace(tzinfo=None)
    pages = await _first_pages(account, 1)
    for of, page in pages:
        behind = await account.history(of, since_id=page.last_id)
        if any(_before(one, asked_at) for one in behind.records) != page.more:
            wrong.append(f"of {of} it says that there is {'more' if page.more else 'no more'}, and it is otherwise")
    asked = f"the first pages of {' and '.join(of for of, _ in pages)}, and what comes behind them"
    return Answer(not wrong, asked, "; ".join(wrong) or "totalPageCount is above 1 when there is more, and only then")


async def sources(account: LiveAccount) -> Answer:
    found = {one.source for _, page in await _first_pages(account, 1) for one in page.records}
    strange = sorted(found - SOURCES - {""})
    answered = f"there are others: {', '.join(strange)[:100]}" if strange else f"{', '.join(sorted(found))}, no others"
    return Answer(not strange, "who made the changes of the last month", answered)
