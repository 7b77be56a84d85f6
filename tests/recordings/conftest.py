from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from amibridge.config import RecordingSettings
from amibridge.recordings.library import Library, library_settings
from tests.recordings.machines import Machine, website


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    """With its cache in *tmp_path*/data/recordings, its key and known hosts beside it."""
    library = Library(library_settings(tmp_path / "data", RecordingSettings(cache_bytes=3_000_000)))
    async with library.serving():
        yield library


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with website() as machine:
        yield machine
