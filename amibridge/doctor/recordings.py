"""The recordings of one PBX, looked for as the CRM's player would have them looked for."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amibridge.doctor.clocks import ago
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.enterprises import AmiHost
from amibridge.secrets import user_name
from amibridge.store.recordings import CallRecordings
from amibridge.store.survey import AnsweredCall, Survey
from amibridge.web.disk import Disk, DiskBusy
from amibridge.web.recordings import MAY_STILL_COME, find_file, is_within_reach

PATIENCE = timedelta(seconds=5)
"""With the folder: it may be on a mount whose server is gone."""

LOOKED_FOR = 20
"""Calls."""

ENOUGH = 5
"""Answered calls without any recording that are no accident."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """*holds*: anything at all. *there*: calls whose recording is in it; *missing*: calls whose is not."""

    holds: bool
    there: Sequence[AnsweredCall]
    missing: Sequence[AnsweredCall]


async def recordings(host: AmiHost, survey: Survey) -> AsyncGenerator[Finding]:
    about, folder = f"{host.name} recordings", host.recordings
    if folder is None:
        yield ok(about, "`recordings` is not set, so the CRM gets no links to them")
        return
    if not is_within_reach(folder):
        yield warn(about, f"{folder}: only a folder of this machine is read yet", "mount it, and name the folder")
        return
    before = datetime.now(UTC) - MAY_STILL_COME
    calls = await survey.newest_answered(host.enterprise, host.name, before=before, limit=LOOKED_FOR)
    try:
        found = await Disk().ask(folder, lambda: _looked(folder, calls), within=PATIENCE)
    except DiskBusy:
        yield fail(about, f"{folder} does not answer", "look at its mount: `findmnt`, `dmesg`")
    except PermissionError:
        us = user_name(os.geteuid())
        advice = f"let {us} read it: a group of the folder's, as SupplementaryGroups of the unit and with usermod -aG"
        yield fail(about, f"{us} may not look into {folder}", advice)
    except OSError as error:
        yield fail(about, f"{folder}: {error.strerror or error}", "mount it, or mend `recordings` of this host")
    else:
        yield _judged(about, folder, calls, found)


def _looked(folder: str, calls: Sequence[AnsweredCall]) -> _Folder:
    """Raises OSError for a folder that cannot be listed."""
    with os.scandir(folder) as entries:
        holds = next(entries, None) is not None
    there: list[AnsweredCall] = []
    missing: list[AnsweredCall] = []
    for call in calls:
        if call.recordings:
            file = find_file(CallRecordings(call.recordings, folder, call.ended_at))
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
