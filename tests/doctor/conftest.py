from __future__ import annotations

from dataclasses import replace

import pytest

from amibridge.doctor import crm
from amibridge.doctor.live import examination
from amibridge.retailcrm.limits import RATES


@pytest.fixture(autouse=True)
def _as_if_no_daemon_ran_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    for commands in (crm, examination):
        monkeypatch.setattr(commands, "SETTINGS", replace(commands.SETTINGS, rates=RATES))
