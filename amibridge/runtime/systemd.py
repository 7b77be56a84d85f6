"""The service's side of `man sd_notify` and `man sd_watchdog_enabled`, without libsystemd.

Laws: outside systemd everything here is a no-op; telling systemd never blocks and never raises, because a daemon that
serves calls must not stop for its supervisor's sake.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta

import structlog

log = structlog.get_logger()


def notify(*assignments: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell systemd *assignments* such as ``READY=1`` or ``STATUS=3 hosts``, all in one datagram.

    Returns whether systemd was told: False outside systemd, or when its socket refused.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    path = "\0" + address[1:] if address.startswith("@") else address
    message = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto(message.encode(), path)
    except OSError as error:
        log.warning("systemd_not_told", message=message, error=error)
        return False
    return True


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> timedelta | None:
    """The longest systemd waits between two ``WATCHDOG=1``; None if it does not watch this process.

    `man sd_watchdog_enabled` advises to tell it every half of this.
    """
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdecimal() or int(usec) == 0 or pid != str(os.getpid()):
        return None
    return timedelta(microseconds=int(usec))
