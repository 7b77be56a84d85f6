"""Root acts as the owner of the data folder: what root made there, a service that runs as that user could not open.

Law: it is done when everything that only root may read has been read, and before anything is made or opened.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import amibridge
from amibridge.cli.failure import CommandFailed
from amibridge.secrets import user_name


def act_as_owner(data_dir: Path) -> None:
    """Become the owner of *data_dir*, if we are root and it is there and not root's. Raises CommandFailed."""
    if os.geteuid() != 0 or not data_dir.exists():
        return
    whose = data_dir.stat()
    if whose.st_uid == 0:
        return
    name = user_name(whose.st_uid)
    try:
        _become(whose.st_uid, whose.st_gid, data_dir)
    except OSError as error:
        raise CommandFailed(
            f"{data_dir} belongs to {name}, whom root cannot become here ({error.strerror}): do this as {name}"
        ) from error
    for path in _needed():
        if not os.access(path, os.R_OK):
            raise CommandFailed(
                f"{data_dir} belongs to {name}, who cannot read {path}: install amibridge where {name} can read it, "
                "or choose another data_dir"
            )


def _become(uid: int, gid: int, data_dir: Path) -> None:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        os.setgroups([])
        os.environ["HOME"] = str(data_dir)  # libraries look into root's, which is closed from now on
    else:
        gid = user.pw_gid
        os.initgroups(user.pw_name, gid)
        os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    os.setgid(gid)
    os.setuid(uid)


def _needed() -> tuple[str, ...]:
    """What we and the processes that we start are made of."""
    return (sys.executable, os.__file__, str(amibridge.__file__))
