"""How late every event was heard, as the bridge's own traces tell it: an event without a time is kept with that of its
arrival, and ours carry the time at which they were written.

Both clocks are the machine's own; what lies between is the kernel's way and the bridge's loop.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

from amibridge.runtime.ring_files import RING, frames_in, pieces

_TIMESTAMP = re.compile(rb"\r\nTimestamp: [^\r]*")
_HEARD = re.compile(rb"\r\nTimestamp: ([\d.]+)\r\nWritten: ([\d.]+)")


def stamped(raw: bytes) -> bytes:
    """An event as a PBX without ``timestampevents`` sends it, with the time of now in a header of ours."""
    name, _, rest = _TIMESTAMP.sub(b"", raw).partition(b"\r\n")
    return b"%b\r\nWritten: %.6f\r\n%b" % (name, time.time(), rest)


def lateness(data_dir: Path, since: float = 0.0, until: float = math.inf) -> list[float]:
    """Milliseconds of every event that was written *since* and *until* (seconds since 1970), shortest first. To be
    asked when the bridge has stopped."""
    found = _heard(data_dir / RING)
    return sorted((heard - written) * 1000 for heard, written in found if since <= written <= until)


def _heard(root: Path) -> Iterator[tuple[float, float]]:
    for folder in root.glob("*/*"):
        for piece in pieces(folder):
            for message in frames_in(piece, _damaged):
                if (times := _HEARD.search(message)) is not None:
                    yield float(times[1]), float(times[2])


def _damaged(piece: Path, reason: str) -> None:
    raise RuntimeError(f"{piece}: {reason}")
