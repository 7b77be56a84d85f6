"""What root can make of this machine for a test: worlds in which a command runs.

``python -m tests.store.worlds ordinary COMMAND …``: where it is an ordinary user.
``python -m tests.store.worlds forbidden COMMAND …``: where no user namespaces can be made.
``python -m tests.store.worlds small FOLDER COMMAND …``: where *FOLDER* is a disk of `SMALL` bytes.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Callable

CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000
SMALL = 90_000_000
"""Room for a new cluster and a bit more."""
ORDINARY = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid != 0)
SHARED_IDS = 65536
"""As many as make nobody somebody there, too."""

_libc = ctypes.CDLL(None, use_errno=True)


def has_namespaces() -> bool:
    """Whether user namespaces may be made here."""
    child = os.fork()
    if child == 0:
        os._exit(_libc.unshare(CLONE_NEWUSER) != 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _enter(ids: str, arrange: Callable[[], None], command: list[str]) -> int:
    """Exit code of *command* in a namespace with these ids."""
    unshared, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        if _libc.unshare(CLONE_NEWUSER) != 0:
            os._exit(1)
        os.write(unshared[1], b".")
        os.read(mapped[0], 1)
        arrange()
        os.execv(command[0], command)
    os.read(unshared[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
            file.write(ids)
    os.write(mapped[1], b".")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _forbid_namespaces() -> None:
    with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
        file.write("0")


def _mount(folder: str) -> None:
    if _libc.unshare(CLONE_NEWNS) != 0:
        os._exit(1)
    if _libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={SMALL}".encode()) != 0:
        os._exit(1)


if __name__ == "__main__":
    everybody = f"0 0 {SHARED_IDS}"
    match sys.argv[1:]:
        case "ordinary", *command:
            sys.exit(_enter(f"{ORDINARY} 0 1", lambda: None, command))
        case "forbidden", *command:
            sys.exit(_enter(everybody, _forbid_namespaces, command))
        case "small", folder, *command:
            sys.exit(_enter(everybody, lambda: _mount(folder), command))
