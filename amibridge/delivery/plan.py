"""What a lane sends next: rows and the time come in, requests to make and rows to drop come out.

Laws: a call's rows go one request after another in id order, its history when none of its popups is left; popups go
before history, yet history is never starved; facts that say the same about one call are one request; what is not
worth telling any more is dropped. Pure: no clock and no I/O, so every law is a property test.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import TypeAlias

from amibridge.calls.facts import CallEnded
from amibridge.calls.notices import NoticeKind
from amibridge.calls.record import CallId
from amibridge.delivery.news import Dropped, Screens, note, say_the_same, worth_telling
from amibridge.store.outbox import Delivery

UPLOAD_MAX = 50
"""Calls in one upload: RetailCRM's limit."""

HISTORY_PATIENCE = timedelta(seconds=2)
"""While popups wait for a slot, history takes at most one request in this time: 50 calls, 1.5 % of the rate limit."""

TROUBLE_FREE_ATTEMPTS = 2
"""Failures after which a row travels with ever fewer others: it may be the one that breaks the answer."""

DROPS_AT_ONCE = 500
"""After a long pause thousands of popups may be stale; dropping all at once would be felt as a stall."""

REMEMBERED_MAX = 5_000
"""Calls of which only the open popups are remembered. Most end and are forgotten; one that was merged never does."""

_LOOK_AT_MOST = 4 * UPLOAD_MAX
"""Rows looked at while filling one upload; those that must travel with fewer are put back."""


@dataclass(frozen=True, slots=True)
class Popup:
    """One `call/event` about one call: facts of one kind, in id order."""

    rows: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class History:
    """One `calls/upload`; every call in it names its own shop."""

    rows: tuple[Delivery, ...]


Send: TypeAlias = Popup | History


@dataclass(frozen=True, slots=True)
class Plan:
    """*wake_at*: when to plan again if nothing else happens before."""

    sends: tuple[Send, ...]
    dropped: tuple[Dropped, ...]
    wake_at: datetime | None


@dataclass(slots=True)
class _CallRows:
    """Rows of one call, those in flight taken out."""

    popups: list[Delivery] = field(default_factory=list)
    history: list[Delivery] = field(default_factory=list)
    screens: Screens = field(default_factory=dict)
    in_flight: int = 0
    ended: bool = False


class Agenda:
    """The rows one lane holds. *popups* and *history*: how many wait, those in flight not counted."""

    def __init__(self) -> None:
        self._calls: dict[CallId, _CallRows] = {}
        self._popups_due: list[tuple[datetime, int, CallId]] = []
        self._history_due: list[tuple[datetime, int, CallId]] = []
        self._remembered: dict[CallId, None] = {}
        self._groups: deque[tuple[Delivery, ...]] = deque()
        self._history_held_till: datetime | None = None
        self.popups = 0
        self.history = 0

    def add(self, row: Delivery) -> None:
        call = self._calls.get(row.call)
        if call is None:
            call = self._calls[row.call] = _CallRows()
        self._remembered.pop(row.call, None)
        call.ended = call.ended or isinstance(row.fact, CallEnded)
        if row.kind is NoticeKind.POPUP:
            self.popups += 1
            insort(call.popups, row, key=_id)
            if not call.in_flight:
                # Looked at now even behind a retry: this row may tell that the one before it is news no more.
                heappush(self._popups_due, (row.due_at, call.popups[0].id, row.call))
        else:
            self.history += 1
            insort(call.history, row, key=_id)
            self._arm(row.call, call)

    def plan(self, now: datetime, *, popup_slots: int, history_slot: bool) -> Plan:
        """Take out what may be sent now, at most *popup_slots* popups and, if *history_slot*, one upload."""
        sends: list[Send] = []
        dropped: list[Dropped] = []
        while len(sends) < popup_slots and self._popups_due and self._popups_due[0][0] <= now:
            if len(dropped) >= DROPS_AT_ONCE:
                return Plan(tuple(sends), tuple(dropped), now)
            popup = self._take_popup(heappop(self._popups_due)[2], now, dropped)
            if popup is not None:
                sends.append(popup)
        crowded = self._crowded(now)
        held = crowded and self._history_held_till is not None and now < self._history_held_till
        if history_slot and not held:
            history = self._take_history(now)
            if history is not None:
                sends.append(history)
                history_slot = False
                self._history_held_till = now + HISTORY_PATIENCE
        return Plan(tuple(sends), tuple(dropped), self._wake_at(crowded, history_slot, held))

    def sweep(self, now: datetime) -> tuple[Dropped, ...]:
        """Drop popups that are news no more, where none may be sent; some of them, when there are many."""
        dropped: list[Dropped] = []
        for call_id, call in list(self._calls.items()):
            if len(dropped) >= DROPS_AT_ONCE:
                break
            if call.popups and not call.in_flight and self._weed(call, now, dropped):
                self._arm(call_id, call)
                self._forget(call_id, call)
        return tuple(dropped)

    def settled(self, rows: Sequence[Delivery], *, reached: bool) -> None:
        """Sent, dropped or parked: these rows are done. *reached*: the CRM has or may have got them."""
        for row in rows:
            self._land(row)
            if row.kind is NoticeKind.POPUP:
                note(self._calls[row.call].screens, row, reached)
        self._rearm(rows)

    def again(self, rows: Sequence[Delivery], at: datetime, *, tried_at: datetime | None) -> tuple[Delivery, ...]:
        """Put rows back until *at*. *tried_at*: of a try that counts, else None. Returns them as they are now."""
        tries = 0 if tried_at is None else 1
        back = tuple(
            replace(row, due_at=at, attempts=row.attempts + tries, first_tried_at=row.first_tried_at or tried_at)
            for row in rows
        )
        for row in back:
            self._land(row)
            call = self._calls[row.call]
            if row.kind is NoticeKind.POPUP:
                self.popups += 1
                insort(call.popups, row, key=_id)
            else:
                self.history += 1
                insort(call.history, row, key=_id)
        self._rearm(back)
        return back

    def split(self, rows: Sequence[Delivery]) -> None:
        """One of these was refused: send them as two halves, so that in the end only the guilty one is parked."""
        middle = len(rows) // 2
        self._groups.append(tuple(rows[:middle]))
        self._groups.append(tuple(rows[middle:]))

    # -- popups

    def _take_popup(self, call_id: CallId, now: datetime, dropped: list[Dropped]) -> Popup | None:
        call = self._calls.get(call_id)
        if call is None or call.in_flight or not call.popups:
            return None
        self._weed(call, now, dropped)
        kept = call.popups
        if not kept:
            self._arm(call_id, call)
            self._forget(call_id, call)
            return None
        if kept[0].due_at > now:
            self._arm(call_id, call)
            return None
        count = 1
        while count < len(kept) and kept[count].due_at <= now and say_the_same(kept[0].fact, kept[count].fact):
            count += 1
        call.popups = kept[count:]
        call.in_flight = count
        self.popups -= count
        return Popup(tuple(kept[:count]))

    def _weed(self, call: _CallRows, now: datetime, dropped: list[Dropped]) -> bool:
        """Whether there were popups of *call* that are not worth telling."""
        call.popups, gone = worth_telling(call.popups, call.screens, now)
        dropped += gone
        self.popups -= len(gone)
        for one in gone:
            note(call.screens, one.row, reached=False)
        return bool(gone)

    def _crowded(self, now: datetime) -> bool:
        """Popups are due that got no slot."""
        while self._popups_due and self._popups_due[0][0] <= now:
            call = self._calls.get(self._popups_due[0][2])
            if call is not None and call.popups and not call.in_flight:
                return True
            heappop(self._popups_due)
        return False

    # -- history

    def _take_history(self, now: datetime) -> History | None:
        if self._groups:
            return History(self._groups.popleft())
        taken: list[Delivery] = []
        others: list[tuple[datetime, int, CallId]] = []
        room = UPLOAD_MAX
        for _ in range(_LOOK_AT_MOST):
            if len(taken) >= room or not self._history_due or self._history_due[0][0] > now:
                break
            entry = heappop(self._history_due)
            row = self._history_row(entry)
            if row is None:
                continue
            if len(taken) >= _company(row):
                others.append(entry)
                continue
            room = min(room, _company(row))
            call = self._calls[row.call]
            call.history.remove(row)
            call.in_flight += 1
            self.history -= 1
            taken.append(row)
        for entry in others:
            heappush(self._history_due, entry)
        return History(tuple(taken)) if taken else None

    def _history_row(self, entry: tuple[datetime, int, CallId]) -> Delivery | None:
        call = self._calls.get(entry[2])
        if call is None or call.in_flight or call.popups or not call.history:
            return None
        row = call.history[0]
        return row if (row.due_at, row.id) == entry[:2] else None

    # -- bookkeeping

    def _land(self, row: Delivery) -> None:
        self._calls[row.call].in_flight -= 1

    def _rearm(self, rows: Iterable[Delivery]) -> None:
        for call_id in {row.call for row in rows}:
            call = self._calls[call_id]
            self._arm(call_id, call)
            self._forget(call_id, call)

    def _arm(self, call_id: CallId, call: _CallRows) -> None:
        if call.in_flight:
            return
        if call.popups:
            heappush(self._popups_due, (call.popups[0].due_at, call.popups[0].id, call_id))
        elif call.history:
            heappush(self._history_due, (call.history[0].due_at, call.history[0].id, call_id))

    def _forget(self, call_id: CallId, call: _CallRows) -> None:
        """A screen nobody knows counts as open, so forgetting too much costs a needless request and no more."""
        if call.in_flight or call.popups or call.history:
            return
        if call.ended:
            del self._calls[call_id]
            return
        self._remembered[call_id] = None
        if len(self._remembered) > REMEMBERED_MAX:
            oldest = next(iter(self._remembered))
            del self._remembered[oldest], self._calls[oldest]

    def _wake_at(self, crowded: bool, history_slot: bool, held: bool) -> datetime | None:
        times = []
        if self._popups_due and not crowded:
            times.append(self._popups_due[0][0])
        if history_slot and held and self._history_held_till is not None:
            times.append(self._history_held_till)
        elif history_slot and self._history_due:
            times.append(self._history_due[0][0])
        return min(times, default=None)


def _company(row: Delivery) -> int:
    """With how many rows, itself counted, a row may travel."""
    return max(1, UPLOAD_MAX >> max(0, row.attempts - TROUBLE_FREE_ATTEMPTS))


def _id(row: Delivery) -> int:
    return row.id
