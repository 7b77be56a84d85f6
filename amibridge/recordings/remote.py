"""Recordings on another machine: what every way to ask for them has in common, and fetching one.

Laws: whoever is asked is believed in nothing. He may be slow, endless, lie about lengths and break off: it costs a
bounded time and a bounded file, which nobody hears.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from amibridge.enterprises import EnterpriseId
from amibridge.recordings.cache import Cache, Draft
from amibridge.recordings.disk import Disk, DiskBusy
from amibridge.recordings.errors import SourceAway, Unplayable

LARGEST = 512 * 1024 * 1024
"""Bytes of one recording: two hours in both directions at 16 kHz, or nine in one at 8 kHz."""

FETCHED_WITHIN = timedelta(minutes=5)
ANSWERED_WITHIN = timedelta(seconds=10)
"""Each step: a connection, a login, a question, the next piece."""

PIECE = 512 * 1024
"""Bytes that are written at once."""

WRITTEN_WITHIN = timedelta(seconds=30)
"""One piece, to our own disk."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file there. *size* in bytes, *modified* in seconds since 1970: as it says itself, None if it does not."""

    size: int | None
    modified: float | None
    pieces: AsyncIterator[bytes]


async def fetch(remote: Remote, cache: Cache, enterprise: EnterpriseId, disk: Disk) -> Draft:
    """A draft that holds the whole of *remote*. Raises SourceAway, Unplayable, DiskBusy and OSError."""
    if remote.size is not None and remote.size > LARGEST:
        raise Unplayable(f"it has {remote.size} bytes, which is more than a recording has")
    draft = await disk.ask(
        str(cache), partial(cache.draft, enterprise, remote.size or 0), within=WRITTEN_WITHIN, unwanted=Draft.close
    )
    try:
        await _fill(draft, remote, cache, disk)
    except BaseException:
        disk.leave(draft.close)
        raise
    return draft


async def _fill(draft: Draft, remote: Remote, cache: Cache, disk: Disk) -> None:
    held, written = bytearray(), 0
    try:
        async with asyncio.timeout(FETCHED_WITHIN.total_seconds()):
            async for piece in remote.pieces:
                held += piece
                if written + len(held) > LARGEST:
                    raise Unplayable("it does not end")
                if len(held) >= PIECE:
                    written += await disk.ask(str(cache), partial(draft.file.write, held), within=WRITTEN_WITHIN)
                    held = bytearray()
    except DiskBusy:
        raise
    except TimeoutError as error:
        raise SourceAway("it is so slow that nobody would wait for it") from error
    written += await disk.ask(str(cache), partial(draft.file.write, held), within=WRITTEN_WITHIN)
    if remote.size is not None and written != remote.size:
        raise SourceAway(f"it broke off after {written} of {remote.size} bytes")
