"""A recording as an answer: aiohttp's `FileResponse`, which asks the file system through our `Disk`.

aiohttp asks in threads that the process waits for before it ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_fileresponse import _FileResponseResult as Made

from amibridge.web.disk import Disk, DiskBusy

PIECE = 256 * 1024
"""Bytes read at once."""

PIECE_WITHIN = timedelta(seconds=30)
"""A player that has begun waits longer than one that has not."""


class Sound(web.FileResponse):
    """*folder*: which `Disk` to ask. To be opened before it is returned."""

    def __init__(self, disk: Disk, folder: str, file: Path, headers: Mapping[str, str]) -> None:
        super().__init__(file, headers=headers)
        self._disk = disk
        self._folder = folder
        self._made: tuple[Made, BufferedReader | None, os.stat_result] | None = None

    async def open(self, request: web.Request, within: timedelta) -> None:
        """Raises DiskBusy, and OSError for a file that is gone again."""
        question = partial(self._make_response, request, "")  # no encodings: what lies beside the file is not asked for
        made, file, stat, _ = await self._disk.ask(self._folder, question, within=within)
        self._made = made, file, stat

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        assert self._made is not None
        made, file, stat = self._made
        if made is Made.PRE_CONDITION_FAILED:
            return await self._precondition_failed(request)
        if made is Made.NOT_MODIFIED:
            return await self._not_modified(request, f"{stat.st_mtime_ns:x}-{stat.st_size:x}", stat.st_mtime)
        if file is None:
            self.set_status(web.HTTPForbidden.status_code)
            return await web.StreamResponse.prepare(self, request)
        try:
            return await self._prepare_open_file(request, file, stat, None)
        finally:
            self._disk.leave(self._folder, file.close)

    async def _sendfile(self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int) -> AbstractStreamWriter:
        writer = await web.StreamResponse.prepare(self, request)
        assert writer is not None
        while count > 0:
            question = partial(self._seek_and_read, fobj, offset, min(PIECE, count))
            try:
                piece = await self._disk.ask(self._folder, question, within=PIECE_WITHIN)
            except (DiskBusy, OSError) as error:
                raise ConnectionError("the rest of the recording cannot be read") from error
            if not piece:
                raise ConnectionError("the recording has become shorter")
            await writer.write(piece)
            offset, count = offset + len(piece), count - len(piece)
        await writer.drain()
        return writer
