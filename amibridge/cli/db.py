"""`amibridge db`: the tables."""

from __future__ import annotations

import argparse
import sys

from amibridge.cli.configured import begin, in_loop
from amibridge.cli.stored import open_store, show
from amibridge.config import Settings
from amibridge.store.migrations import schema_version


def upgrade(args: argparse.Namespace) -> int:
    return in_loop(_upgrade(begin(args)))


async def _upgrade(settings: Settings) -> int:
    async with open_store(settings) as pool:  # which is the upgrade: nothing of ours opens tables that are not ours
        version = await schema_version(pool)
    show({"schema": version})
    print(f"the tables are up to date: schema {version}", file=sys.stderr)
    return 0
