"""This machine: settings, keyring, disk. As the user that the bridge runs as, for that is who must be able to read."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from pathlib import Path

from amibridge.config import SecretsSettings, Settings
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.recordings.disk import Disk, DiskBusy
from amibridge.secrets import KeyringUnusable, find_keyring, user_name
from amibridge.store.db import place_of

PATIENCE = timedelta(seconds=5)
"""With a folder: it may be on a mount whose server is gone."""

SHORT, TOO_SHORT = 1024**3, 200 * 1024**2
"""Bytes. A PostgreSQL that cannot write stops, and we with it: the last 200 MB go in a moment."""

FEW_FILES, TOO_FEW_FILES = 0.05, 0.01


async def settings_told(settings: Settings, file: Path | None) -> AsyncGenerator[Finding]:
    """What we go by. A mistake in it ends the command before it comes here."""
    database = "private" if settings.database.dsn is None else place_of(settings.database.dsn)
    web = f"{settings.web.listen_host}:{settings.web.listen_port}"
    said = f"{file or 'no file'}: data_dir {settings.data_dir}, database {database}, web {web}"
    if file is None or os.access(file, os.R_OK):
        yield ok("settings", said)
    else:
        us = user_name(os.geteuid())
        advice = f"chgrp {us} {file}; chmod g+r {file}"
        yield fail("settings", f"{file} cannot be read by {us}, who owns data_dir", advice)


async def keyring(settings: SecretsSettings) -> AsyncGenerator[Finding]:
    path = settings.key_file
    try:
        found = find_keyring(path, guarded=settings.guarded)
    except KeyringUnusable as error:
        yield fail("keyring", str(error), "without it no enterprise is served: mend it, or restore it from a backup")
        return
    if found is None:
        advice = "the first start makes one; if there was one, restore it from a backup"
        yield warn("keyring", f"there is none at {path}", advice)
    else:
        yield ok("keyring", f"{path}, for {user_name(os.geteuid())} alone")


async def disk(data_dir: Path) -> AsyncGenerator[Finding]:
    try:
        for finding in await Disk().ask(str(data_dir), lambda: list(_room(data_dir)), within=PATIENCE):
            yield finding
    except DiskBusy:
        yield fail("disk", f"{data_dir} does not answer", "look at its mount: `findmnt`, `dmesg`")
    except FileNotFoundError:
        yield warn("disk", f"{data_dir} is not there yet", "the first start of the bridge makes it")
    except PermissionError:
        us = user_name(os.geteuid())
        yield fail(
            "disk", f"{data_dir} lies in a folder that is closed to {us}", "ask as the user of the bridge, or as root"
        )


def _room(data_dir: Path) -> Iterator[Finding]:
    owner, us = data_dir.stat().st_uid, os.geteuid()
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        theirs, ours = user_name(owner), user_name(us)
        advice = f"chmod u+rwx {data_dir}" if owner == us else f"ask as {theirs}: sudo -u {theirs} amibridge doctor"
        yield fail("disk", f"{data_dir} belongs to {theirs}, and {ours} may not write there", advice)
    room = os.statvfs(data_dir)
    free = room.f_bavail * room.f_frsize
    found, advice = f"{sized(free)} free for {data_dir}", "make room, or give data_dir a larger disk"
    if free < TOO_SHORT:
        yield fail("disk", found, advice)
    elif free < SHORT:
        yield warn("disk", found, advice)
    else:
        yield ok("disk", found)
    if room.f_files:  # some file systems count none
        left = room.f_favail / room.f_files
        found = f"{left:.0%} of the files are free that {data_dir} can hold"
        advice = "look for a folder of very many small files"
        if left < TOO_FEW_FILES:
            yield fail("inodes", found, advice)
        elif left < FEW_FILES:
            yield warn("inodes", found, advice)


def sized(count: int) -> str:
    """Bytes, for people."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
