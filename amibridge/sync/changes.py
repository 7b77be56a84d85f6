"""What a page of history comes to: whom to fetch whole, who is gone, who became a part of whom.

Laws: a record says that something changed and never what it is now; records may come twice and in any order; what we
did ourselves we know, unless it made something new. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from amibridge.retailcrm.customers import Customer
from amibridge.retailcrm.history import LARGEST_ID, Happened, HistoryRecord
from amibridge.retailcrm.orders import Order


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids, each in one of: *touched*, to be fetched; *echoes*, touched by nobody but us; *deleted*.

    *merged*: (gone, who remained), in order. *senseless*: how many records are of nobody there can be.
    """

    touched: tuple[int, ...] = ()
    echoes: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    senseless: int = 0


NO_CHANGES = Changes()


def fold(records: Sequence[HistoryRecord[Customer] | HistoryRecord[Order]]) -> Changes:
    """What *records* say together, by the order of their numbers."""
    touched: dict[int, bool] = {}  # whether it was only we
    deleted: dict[int, None] = {}
    merged: list[tuple[int, int]] = []
    senseless = 0
    for record in sorted(records, key=lambda record: record.id):
        one = record.entity.id
        into = record.combined_to
        if not _possible(one) or (into is not None and not _possible(into)):
            senseless += 1
            continue
        match record.happened:
            case Happened.DELETED:
                deleted[one] = None
                touched.pop(one, None)
            case Happened.COMBINED:
                assert into is not None
                if into == one:
                    senseless += 1
                    continue
                merged.append((one, into))
                touched.pop(one, None)
                deleted.pop(one, None)
                touched[into] = False
            case Happened.CREATED | Happened.CHANGED:
                deleted.pop(one, None)
                touched[one] = record.own and touched.get(one, True)
            case _ as never:
                assert_never(never)
    return Changes(
        touched=tuple(one for one, ours in touched.items() if not ours),
        echoes=tuple(one for one, ours in touched.items() if ours),
        deleted=tuple(deleted),
        merged=tuple(merged),
        senseless=senseless,
    )


def _possible(id: int) -> bool:
    return 0 < id <= LARGEST_ID
