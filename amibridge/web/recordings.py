"""`GET /recordings/{token}`: the recording of one call, for RetailCRM's player; `/{n}` behind it: the n-th of the call.

Laws: only a link that we signed opens anything, and nothing once the enterprise keeps it no longer; a recording that is
not there yet, or whose place does not answer, is a state (503 and Retry-After), not an error; each fetch is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

import asyncpg
import structlog
from aiohttp import web

from amibridge.calls.record import CallId
from amibridge.enterprises import EnterpriseId, Scope
from amibridge.recordings.disk import DiskBusy
from amibridge.recordings.errors import NotReady, SourceAway, Unplayable
from amibridge.recordings.library import PATIENCE, Library
from amibridge.recordings.places import Place, is_within_reach, place_of
from amibridge.secrets import Keyring, LinkExpired, LinkRefused, SealBroken
from amibridge.store.audit import AuditRow, AuditTrail
from amibridge.store.db import DATABASE_FAILURES
from amibridge.store.recordings import CallRecordings, recordings_of_call
from amibridge.web.answers import ID, Handler, refusal
from amibridge.web.playback import Playback
from amibridge.web.visitors import AddressOf

log = structlog.get_logger()

MAY_STILL_COME = timedelta(minutes=10)
"""After the end of the call: MixMonitor mixes, a script converts, a mounted folder lags."""

AGAIN = {"Retry-After": "5"}
"""Seconds."""

LINK = "recording link"
"""Who fetched it, in the audit: whoever has the link."""

DATABASE_PATIENCE = timedelta(seconds=4)

TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".gsm": "audio/gsm", ".ogg": "audio/ogg"}

HEADERS = {
    "Cache-Control": "private, max-age=86400",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Fetch:
    """Somebody at *address* was given the *number*-th recording of *call*, or a part of it, by *request*."""

    enterprise: EnterpriseId
    call: CallId
    number: int
    address: str
    at: datetime
    request: str = ""


Tell: TypeAlias = Callable[[Fetch], None]
"""Hears of each fetch, before a byte of it is sent."""


def log_fetch(fetch: Fetch) -> None:
    log.info(
        "recording_fetched",
        enterprise=fetch.enterprise,
        call=fetch.call,
        number=fetch.number,
        address=fetch.address,
    )


def audited(trail: AuditTrail, tell: Tell) -> Tell:
    """*tell*, and a row of the audit."""

    def fetched(fetch: Fetch) -> None:
        tell(fetch)
        what = f"{fetch.call} {fetch.number}"
        trail.note(
            AuditRow(fetch.enterprise, fetch.at, LINK, fetch.address, Scope.RECORDINGS, what, "played", fetch.request)
        )

    return fetched


def record_url(public_url: str, keyring: Keyring, enterprise: EnterpriseId, call: CallId, expires_at: datetime) -> str:
    """Where the recording of *call* can be heard until *expires_at*; minted before the file exists."""
    return f"{public_url}/recordings/{keyring.sign_link(f'{enterprise}/{call}', expires_at)}"


def serve_recordings(
    pool: asyncpg.Pool, keyring: Keyring, library: Library, address_of: AddressOf, tell: Tell
) -> Handler:
    async def respond(request: web.Request) -> web.StreamResponse:
        now = datetime.now(UTC)
        try:
            ask = _asked(request, keyring, now)
        except LinkExpired:
            return refusal(410, "link_expired", "This link has expired.")
        except LinkRefused:
            return NOT_FOUND()
        except ValueError as error:
            return refusal(400, "unknown_format", str(error))
        whose = {"enterprise": ask.enterprise, "call": ask.call}
        try:
            found = await recordings_of_call(pool, keyring, ask.enterprise, ask.call, within=DATABASE_PATIENCE)
        except (*DATABASE_FAILURES, SealBroken) as error:
            log.warning("recording_not_looked_up", **whose, reason=str(error) or "no answer")
            return refusal(503, "database_away", "This cannot be looked up at the moment.", AGAIN)
        if found is None:
            return NOT_READY()
        if ask.number is not None and ask.number > len(found.paths):
            return NOT_FOUND()
        if found.keep is not None and now >= found.ended_at + found.keep:
            return refusal(410, "no_longer_kept", "This recording is no longer kept.")
        fresh, place, reason = now - found.ended_at < MAY_STILL_COME, _place(found), "it is not there"
        try:
            for number, path in enumerate(found.paths, 1):
                if place is None or ask.number not in (None, number):
                    continue
                sound = await library.sound(ask.enterprise, place, path, as_mp3=ask.as_mp3, fresh=fresh)
                if sound is not None:
                    kind = TYPES.get(sound.file.suffix.lower(), "application/octet-stream")
                    playback = Playback(library.disk, sound, HEADERS | {"Content-Type": kind})
                    await playback.open(request, PATIENCE)
                    tell(Fetch(ask.enterprise, ask.call, number, address_of(request), now, request.get(ID, "")))
                    return playback
            if fresh:
                return NOT_READY()
        except NotReady:
            return NOT_READY()
        except (SourceAway, DiskBusy, OSError) as error:
            log.warning("recording_not_looked_up", **whose, reason=str(error))
            return refusal(503, "folder_away", "The recording cannot be read at the moment.", AGAIN)
        except Unplayable as error:
            reason = str(error)
        log.warning("recording_missing", **whose, place=place and str(place), paths=found.paths, reason=reason)
        return NOT_FOUND()

    return respond


NOT_FOUND = partial(refusal, 404, "not_found", "There is no such recording.")
NOT_READY = partial(refusal, 503, "not_ready", "The recording is not there yet.", AGAIN)


@dataclass(frozen=True, slots=True)
class _Ask:
    """*number* from one; None: the first that is there."""

    enterprise: EnterpriseId
    call: CallId
    number: int | None
    as_mp3: bool


def _asked(request: web.Request, keyring: Keyring, now: datetime) -> _Ask:
    """Raises LinkRefused, LinkExpired, and ValueError for a format that we do not have."""
    enterprise, _, call = keyring.read_link(request.match_info["token"], now).partition("/")
    number = request.match_info.get("number")
    if number is not None and re.fullmatch("[1-9][0-9]{0,3}", number) is None:
        raise LinkRefused("recordings are counted from one")
    kind = request.query.get("format", "mp3")
    if kind not in ("mp3", "wav"):
        raise ValueError("format is mp3, or wav for the recording as it is.")
    return _Ask(EnterpriseId(enterprise), CallId(call), None if number is None else int(number), kind == "mp3")


def _place(found: CallRecordings) -> Place | None:
    if found.place is None or not is_within_reach(found.place, found.password):
        return None
    return place_of(found.place, found.password)
