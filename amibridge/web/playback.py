"""A file as an answer that players like: the whole or a part, with an ETag, and nothing where they have it already.

RFC 9110, sections 13 and 14. The file system is asked in threads which the process does not wait for when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import BinaryIO

from aiohttp import ETag, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from amibridge.recordings.disk import Disk
from amibridge.recordings.folder import open_file
from amibridge.recordings.library import Sound

PIECE = 256 * 1024
"""Bytes read at once."""

PIECE_WITHIN = timedelta(seconds=30)
"""A player that has begun waits longer than one that has not."""

NOTHING = range(0)


class Playback(web.StreamResponse):
    """To be opened before it is returned."""

    def __init__(self, disk: Disk, sound: Sound, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._disk = disk
        self._sound = sound
        self._file: BinaryIO
        self._part = NOTHING

    async def open(self, request: web.Request, within: timedelta) -> None:
        """Raises DiskBusy, and OSError for a file that is gone again."""
        self._file, status = await self._disk.ask(
            self._sound.folder,
            partial(_opened, self._sound),
            within=within,
            unwanted=lambda opened: opened[0].close(),
        )
        size, modified = status.st_size, int(status.st_mtime)
        self.etag = etag = f"{status.st_mtime_ns:x}-{size:x}"
        self.last_modified = modified
        self.headers[hdrs.ACCEPT_RANGES] = "bytes"
        if refused := _refused(request, etag, modified):
            self.set_status(refused)
        elif not _wants_part(request, etag, modified):
            self._part = range(size)
        elif part := _part(request, size):
            self.set_status(206)
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size}"
            self._part = part
        else:
            self.set_status(416)
            self.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
        self.content_length = len(self._part)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Raises ConnectionError when the rest of the file cannot be read: what was promised is not cut silently."""
        try:
            writer = await super().prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._send()
            return writer
        finally:
            self._disk.leave(self._file.close)

    async def _send(self) -> None:
        at = self._part.start
        while at < self._part.stop:
            question = partial(read_at, self._file, at, min(PIECE, self._part.stop - at))
            try:
                piece = await self._disk.ask(self._sound.folder, question, within=PIECE_WITHIN)
            except Exception as error:
                raise ConnectionError("the rest of the recording cannot be read") from error
            if not piece:
                raise ConnectionError("the recording has become shorter")
            await self.write(piece)
            at += len(piece)


def read_at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _opened(sound: Sound) -> tuple[BinaryIO, os.stat_result]:
    file = open_file(sound.file)
    return file, os.fstat(file.fileno())


def _refused(request: web.Request, etag: str, modified: int) -> int:
    """412 or 304 by what the player says it has; 0 if it wants to hear."""
    if (wanted := request.if_match) is not None:
        if not _is_among(etag, wanted, weak=False):
            return 412
    elif (since := request.if_unmodified_since) is not None and modified > since.timestamp():
        return 412
    if (held := request.if_none_match) is not None:
        return 304 if _is_among(etag, held, weak=True) else 0
    if (since := request.if_modified_since) is not None and modified <= since.timestamp():
        return 304
    return 0


def _is_among(etag: str, tags: tuple[ETag, ...], *, weak: bool) -> bool:
    return any(tag.value == "*" or (tag.value == etag and (weak or not tag.is_weak)) for tag in tags)


def _wants_part(request: web.Request, etag: str, modified: int) -> bool:
    """If-Range: the whole, where what the player has a part of is not this."""
    if hdrs.RANGE not in request.headers or request.method != hdrs.METH_GET:
        return False
    held = request.headers.get(hdrs.IF_RANGE)
    if held is None:
        return True
    if held.startswith(('"', "W/")):
        return held == f'"{etag}"'
    return request.if_range is not None and request.if_range.timestamp() == modified


def _part(request: web.Request, size: int) -> range:
    """The part that is asked for, as far as it is there; empty if none of it is."""
    try:
        wanted = request.http_range
    except ValueError:
        return NOTHING
    return range(size)[wanted]
