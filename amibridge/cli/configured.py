"""What every command that works on this installation begins with: its settings, its log, and a loop to run in."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from amibridge import log
from amibridge.config import DEFAULT_FILE, Settings, load

Result = TypeVar("Result")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings as ``--config``, credentials and environment have them. Raises ConfigError."""
    return load(settings_file(args), os.environ)


def settings_file(args: argparse.Namespace) -> Path | None:
    """The one that is named, else the default one where it is there."""
    path: Path | None = args.config
    return DEFAULT_FILE if path is None and DEFAULT_FILE.exists() else path


def begin(args: argparse.Namespace) -> Settings:
    """The settings, with the log set up as they say. Raises ConfigError."""
    settings = settings_of(args)
    log.configure(settings.log.format, settings.log.level)
    return settings


def in_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run *work* to its end, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
