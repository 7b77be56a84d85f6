"""Starting PostgreSQL's programs, which refuse to run as root, whoever we are; and ending them with us.

For root they run in a user namespace of their own, where root's files are an ordinary user's. Where namespaces are
forbidden (the default of container runtimes), as the user nobody with one right of root, to reach what lies below
folders that stay closed to every other nobody. On a folder of somebody else, as its owner.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import pwd
import signal
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2  # becoming another user, and access(2) as such, keeps capabilities
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_OVERRIDE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class NeverWithoutRoot(Exception):
    """We are root and cannot start anything that is not. The text says why."""


@dataclass(frozen=True, slots=True)
class Runner:
    """*preexec*: for the child, between fork and exec. *uid*: whose our files in the folder must be, None if ours."""

    preexec: Callable[[], None]
    uid: int | None = None

    def give(self, path: Path) -> None:
        """Make what we have made its own."""
        if self.uid is not None:
            os.chown(path, self.uid, -1)


async def find_runner(binaries: Path, home: Path) -> Runner:
    """How the programs of *binaries* can be run on the folder *home*. Raises NeverWithoutRoot."""
    us = os.getpid()
    if os.geteuid() != 0:
        return Runner(functools.partial(_end_with, us))
    version = [str(binaries / "postgres"), "--version"]
    nobody = pwd.getpwnam("nobody")
    whose = os.stat(home)
    if whose.st_uid != 0:
        why = f"{home} is not root's"
        uid, runner = whose.st_uid, Runner(functools.partial(_become, us, whose.st_uid, whose.st_gid), whose.st_uid)
    else:
        # initdb wants its user to have a name, which 1000 has not on a fresh machine.
        somebody = next((user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0), 1000)
        namespace = Runner(functools.partial(_enter_namespace, us, somebody))
        if not _owns(nobody.pw_uid, home / "data") and await _exit_code(namespace, version) == 0:
            return namespace
        why = "user namespaces are forbidden here"
        uid, runner = nobody.pw_uid, Runner(functools.partial(_become_reaching, us, nobody.pw_uid, nobody.pw_gid))
        _give_all(home / "data", nobody.pw_uid)
    for path, command in ((binaries, version), (home, ["test", "-w", str(home)])):
        if await _exit_code(runner, command) != 0:
            raise NeverWithoutRoot(f"PostgreSQL does not run as root, {why}, and user {_name(uid)} cannot reach {path}")
    return runner


def _owns(uid: int, path: Path) -> bool:
    return path.exists() and path.stat().st_uid == uid


def _give_all(path: Path, uid: int) -> None:
    if path.exists() and not _owns(uid, path):
        for one in (*path.rglob("*"), path):  # itself last: it tells whether all is done
            os.chown(one, uid, -1, follow_symlinks=False)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _end_with(parent: int) -> None:
    """Let the kernel interrupt us when *parent* dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the kernel knew of our wish


def _enter_namespace(parent: int, uid: int) -> None:
    gid = os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, mapping in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{uid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(mapping)
    _end_with(parent)


def _become(parent: int, uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    _end_with(parent)


def _become_reaching(parent: int, uid: int, gid: int) -> None:
    _libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    only = 1 << _CAP_DAC_OVERRIDE  # effective, permitted, inheritable; each has a second half of 32 bits
    if _libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), struct.pack("=6I", only, only, only, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    _end_with(parent)


async def _exit_code(runner: Runner, command: Sequence[str]) -> int:
    """Of a short command; 1 if it could not even be started."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=runner.preexec,
        )
    except (OSError, subprocess.SubprocessError):
        return 1
    return await process.wait()
