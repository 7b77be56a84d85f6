"""The recordings of one PBX, looked for as the CRM's player would have them looked for."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_never

from amibridge.doctor.clocks import ago
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.enterprises import AmiHost
from amibridge.recordings.disk import Disk, DiskBusy
from amibridge.recordings.errors import SourceAway
from amibridge.recordings.folder import find_file
from amibridge.recordings.places import Folder, SftpFolder, Website, place_of
from amibridge.recordings.sftp import SftpSettings
from amibridge.recordings.sources import open_sources
from amibridge.secrets import user_name
from amibridge.store.survey import AnsweredCall, Survey
from amibridge.web.recordings import MAY_STILL_COME

PATIENCE = timedelta(seconds=5)
"""With the folder: it may be on a mount whose server is gone."""

LOOKED_FOR = 20
"""Calls."""

ASKED_FOR = 5
"""Calls, of another machine: each is a connection."""

UNKNOWN = "amibridge-doctor.wav"
"""Asked for where no call names a recording yet: that it is not there says that the place answers."""

ENOUGH = 5
"""Answered calls without any recording that are no accident."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """*holds*: anything at all. *there*: calls whose recording is in it; *missing*: calls whose is not."""

    holds: bool
    there: Sequence[AnsweredCall]
    missing: Sequence[AnsweredCall]


async def recordings(host: AmiHost, survey: Survey, sftp: SftpSettings) -> AsyncGenerator[Finding]:
    about = f"{host.name} recordings"
    if host.recordings is None:
        yield ok(about, "`recordings` is not set, so the CRM gets no links to them")
        return
    try:
        place = place_of(host.recordings, host.recordings_password)
    except ValueError as error:
        yield fail(about, f"`recordings` {error}", "mend it in the enterprise's file, and apply that")
        return
    before = datetime.now(UTC) - MAY_STILL_COME
    calls = await survey.newest_answered(host.enterprise, host.name, before=before, limit=LOOKED_FOR)
    match place:
        case Folder():
            yield await _in_folder(about, place.path, calls)
        case Website() | SftpFolder():
            yield await _elsewhere(about, place, calls, sftp)
        case _:
            assert_never(place)


async def _elsewhere(
    about: str, place: Website | SftpFolder, calls: Sequence[AnsweredCall], sftp: SftpSettings
) -> Finding:
    there: list[AnsweredCall] = []
    missing: list[AnsweredCall] = []
    named = [call for call in calls if call.recordings][:ASKED_FOR]
    try:
        async with open_sources(sftp) as sources:
            for call in named:
                async with sources.find(place, call.recordings[0]) as remote:
                    (missing if remote is None else there).append(call)
            if not named:
                async with sources.find(place, UNKNOWN):
                    pass
    except (SourceAway, TimeoutError) as error:
        return fail(about, str(error) or f"{place} does not answer", "docs/pbx.md says what it needs, step by step")
    return _judged(about, str(place), calls, _Folder(True, there, missing))


async def _in_folder(about: str, folder: str, calls: Sequence[AnsweredCall]) -> Finding:
    try:
        found = await Disk().ask(folder, lambda: _looked(folder, calls), within=PATIENCE)
    except DiskBusy:
        return fail(about, f"{folder} does not answer", "look at its mount: `findmnt`, `dmesg`")
    except PermissionError:
        us = user_name(os.geteuid())
        advice = f"let {us} read it: a group of the folder's, as SupplementaryGroups of the unit and with usermod -aG"
        return fail(about, f"{us} may not look into {folder}", advice)
    except OSError as error:
        return fail(about, f"{folder}: {error.strerror or error}", "mount it, or mend `recordings` of this host")
    else:
        return _judged(about, folder, calls, found)


def _looked(folder: str, calls: Sequence[AnsweredCall]) -> _Folder:
    """Raises OSError for a folder that cannot be listed."""
    with os.scandir(folder) as entries:
        holds = next(entries, None) is not None
    there: list[AnsweredCall] = []
    missing: list[AnsweredCall] = []
    for call in calls:
        if call.recordings:
            file = next(filter(None, (find_file(folder, path) for path in call.recordings)), None)
            (there if file is not None and os.access(file, os.R_OK) else missing).append(call)
    return _Folder(holds, there, missing)


def _judged(about: str, folder: str, calls: Sequence[AnsweredCall], found: _Folder) -> Finding:
    now = datetime.now(UTC)
    if found.missing and not found.there:
        advice = f"compare {found.missing[0].recordings[0]}, as the PBX calls the newest, with what lies in the folder"
        return fail(about, f"{folder} has none of the {len(found.missing)} newest that calls name", advice)
    if found.missing:
        advice = f"look for {found.missing[0].recordings[0]} on the PBX: a full disk, a script that moves them, a mount"
        return warn(about, f"{folder} lacks {len(found.missing)} of the newest that calls name", advice)
    if found.there:
        newest = found.there[0].ended_at
        return ok(about, f"{folder} has all {len(found.there)} newest, the last of a call {ago(newest, now)}")
    if len(calls) >= ENOUGH:
        advice = "let the PBX record calls, and `read` of the account have dialplan, which brings the names of files"
        return warn(about, f"none of the {len(calls)} newest answered calls names a recording", advice)
    if not found.holds:
        return warn(about, f"{folder} is empty", "look whether it is mounted, and whether the PBX records calls")
    return ok(about, f"{folder} can be read; no call names a recording yet")
