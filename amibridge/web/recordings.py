"""`GET /recordings/{token}`: the recording of one call, for RetailCRM's player.

Laws: only a link that we signed opens anything, and only files below the host's folder; a recording that is not there
yet, or whose folder does not answer, is a state (503 and Retry-After), not an error. Range, HEAD, ETag are aiohttp's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath

import asyncpg
import structlog
from aiohttp import web

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId
from amibridge.secrets import Keyring, LinkExpired, LinkRefused
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.recordings import CallRecordings, recordings_of_call
from amibridge.web.answers import Handler, refusal
from amibridge.web.disk import Disk, DiskBusy
from amibridge.web.sound import Sound

log = structlog.get_logger()

MAY_STILL_COME = timedelta(minutes=10)
"""After the end of the call: MixMonitor mixes, a script converts, a mounted folder lags."""

AGAIN = {"Retry-After": "5"}
"""Seconds."""

PATIENCE = timedelta(seconds=4)
"""With the database, and with the folder: a player that waits longer has given up."""

DEEPEST = 64
"""Folders in a path; each of them is a question to a file system that may be far away."""

TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".gsm": "audio/gsm", ".ogg": "audio/ogg"}

HEADERS = {
    "Cache-Control": "private, max-age=86400",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def record_url(public_url: str, keyring: Keyring, enterprise: EnterpriseId, call: CallId, expires_at: datetime) -> str:
    """Where the recording of *call* can be heard until *expires_at*; minted before the file exists."""
    return f"{public_url}/recordings/{keyring.sign_link(f'{enterprise}/{call}', expires_at)}"


def serve_recordings(pool: asyncpg.Pool, keyring: Keyring) -> Handler:
    disk = Disk()

    async def respond(request: web.Request) -> web.StreamResponse:
        now = datetime.now(UTC)
        try:
            payload = keyring.read_link(request.match_info["token"], now)
        except LinkExpired:
            return refusal(410, "link_expired", "This link has expired.")
        except LinkRefused:
            return refusal(404, "not_found", "There is no such recording.")
        enterprise, _, call = payload.partition("/")
        try:
            found = await recordings_of_call(pool, EnterpriseId(enterprise), CallId(call), within=PATIENCE)
        except DATABASE_FAILURES as error:
            log.warning("recording_not_looked_up", enterprise=enterprise, call=call, reason=str(error) or "no answer")
            return refusal(503, "database_away", "This cannot be looked up at the moment.", AGAIN)
        try:
            sound = None if found is None else await _sound(disk, found, request)
        except (DiskBusy, OSError) as error:
            log.warning("recording_not_looked_up", enterprise=enterprise, call=call, reason=str(error))
            return refusal(503, "folder_away", "The recording cannot be read at the moment.", AGAIN)
        if sound is not None:
            log.debug("recording_fetched", enterprise=enterprise, call=call)
            return sound
        if found is None or now - found.ended_at < MAY_STILL_COME:
            return refusal(503, "not_ready", "The recording is not there yet.", AGAIN)
        log.warning("recording_missing", enterprise=enterprise, call=call, folder=found.folder, paths=found.paths)
        return refusal(404, "not_found", "There is no such recording.")

    return respond


async def _sound(disk: Disk, found: CallRecordings, request: web.Request) -> Sound | None:
    if found.folder is None:
        return None
    file = await disk.ask(found.folder, partial(find_file, found), within=PATIENCE)
    if file is None:
        return None
    headers = HEADERS | {"Content-Type": TYPES.get(file.suffix.lower(), "application/octet-stream")}
    sound = Sound(disk, found.folder, file, headers)
    await sound.open(request, PATIENCE)
    return sound


def is_within_reach(folder: str) -> bool:
    """Whether a host's `recordings` is a folder of this machine, not the address of another."""
    return folder.startswith("/")


def find_file(recordings: CallRecordings) -> Path | None:
    """The first recording that is there and holds sound. Blocks: folders may be on the network.

    The PBX's folder may be mounted here under another name, so the longest end of its path that exists counts.
    """
    if recordings.folder is None or not is_within_reach(recordings.folder):
        return None
    root = Path(recordings.folder).resolve()
    found = (_below(root, PurePosixPath(path).parts) for path in recordings.paths)
    return next((file for file in found if file is not None), None)


def _below(root: Path, parts: Sequence[str]) -> Path | None:
    names = [part for part in parts if part not in ("/", ".")]
    if len(names) > DEEPEST or ".." in names or any("\0" in name for name in names):
        return None
    for start in range(len(names)):
        try:
            file = root.joinpath(*names[start:]).resolve()
            if file.is_relative_to(root) and file.is_file() and file.stat().st_size > 0:
                return file
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
            continue
    return None
