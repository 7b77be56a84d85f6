from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.crm_asker import Asker, sandbox_crm


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    """Somebody who asks a sandbox CRM of two accounts."""
    async with sandbox_crm() as asker:
        yield asker


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [one for one in terminalreporter.getreports("skipped") if "test_page_in_chromium" in one.nodeid]
    if skipped:
        terminalreporter.write_line(
            f"WARNING: {len(skipped)} tests of the sandbox CRM's page in a real browser were NOT run: "
            "there is no Chromium here (Debian: apt-get install chromium)",
            yellow=True,
            bold=True,
        )
