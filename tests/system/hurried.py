"""`amibridge` whose clocks run faster: the same program with the same rules, and other numbers for how long it waits.

Law: only waits are made shorter. Started as a process of its own, in the place of `python -m amibridge`.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial

from amibridge import cli, daemon
from amibridge.calls import notices
from amibridge.calls.notices import Notice, NoticeKind
from amibridge.delivery import policy, standing, stock, teller, zone
from amibridge.delivery.policy import Backoff
from amibridge.retailcrm.client import CrmSettings

RING_NEWS = timedelta(seconds=1)
"""Instead of 20 s: how long it is news that a phone rings."""

PATIENCE = timedelta(seconds=1)
"""Instead of 10 s: how long an answer to a popup is awaited."""

PAUSE = timedelta(seconds=1)
"""Instead of a minute: for which an account that shuts us out has peace at first."""


def hurry() -> None:
    notices.OPENING = Notice(NoticeKind.POPUP, RING_NEWS)
    policy.POPUP = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=500), least=0.5)
    policy.HISTORY = Backoff(timedelta(milliseconds=200), timedelta(seconds=2), least=0.0)
    policy.PAUSE = Backoff(PAUSE, 2 * PAUSE, least=1.0)
    standing.PROBE_EVERY = PAUSE
    stock.REREAD_EVERY = timedelta(seconds=5)
    teller.POPUP_PATIENCE = PATIENCE
    zone.REFUSED_AGAIN_AFTER = PAUSE
    vars(daemon)["CrmSettings"] = partial(CrmSettings, connect=PATIENCE / 2, total=3 * PATIENCE)


if __name__ == "__main__":
    hurry()
    sys.exit(cli.main())
