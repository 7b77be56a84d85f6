"""How often one may ask: a number at once, and then so many a second (GCRA: one number is kept for each who asks).

Law: memory is bounded. Of more than *most* who ask, those who have been silent longest are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

MOST = 10_000

GUESSES = (1 / 3, 20)
"""What one visitor may present in vain."""

FORGOTTEN = 1 / 3600
"""How often the same wrong thing is a guess again, a second: a PBX whose client id is an old one asks with it at every
call, and must not silence another one at its address."""


class Limit:
    def __init__(self, per_second: float, at_once: int, most: int = MOST) -> None:
        self._interval = 1 / per_second
        self._slack = (at_once - 1) * self._interval
        self._most = most
        self._paid_till: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paid_till)

    def wait(self, who: Hashable, now: float) -> float:
        """Seconds until *who* may ask again; 0 if he may now."""
        return max(0.0, self._paid_till.get(who, now) - self._slack - now)

    def take(self, who: Hashable, now: float) -> float:
        """As `wait`; whoever may ask now has asked."""
        wait = self.wait(who, now)
        if wait == 0:
            self._paid_till[who] = max(self._paid_till.get(who, now), now) + self._interval
            self._paid_till.move_to_end(who)
            if len(self._paid_till) > self._most:
                self._paid_till.popitem(last=False)
        return wait


class Guesses:
    """Of who may ask as often as he likes, for a call waits for each answer: what is wrong is counted, and once."""

    def __init__(self) -> None:
        self._guesses, self._wrong = Limit(*GUESSES), Limit(FORGOTTEN, 1)

    def wait(self, who: Hashable, now: float) -> float:
        """Seconds for which nothing of *who* is compared, so that he does not learn what was right either."""
        return self._guesses.wait(who, now)

    def note(self, who: Hashable, presented: str, now: float) -> None:
        """That was wrong."""
        if self._wrong.take((who, hash(presented)), now) == 0:
            self._guesses.take(who, now)
