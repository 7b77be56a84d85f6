"""What a process costs and how busy the machine is, as Linux tells it; None where there is no /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process alone: CPU in seconds, memory in MB."""

    cpu: float
    rss: float
    peak: float


def cost_of(pid: int) -> Cost | None:
    try:
        stat, status = (PROC / str(pid) / "stat").read_text(), (PROC / str(pid) / "status").read_text()
    except FileNotFoundError:
        return None
    user, system = stat.rpartition(")")[2].split()[11:13]
    lines = dict(line.split(":", 1) for line in status.splitlines())
    rss, peak = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return Cost((int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), rss, peak)


def resident() -> float | None:
    """MB that this process holds."""
    cost = cost_of(os.getpid())
    return None if cost is None else cost.rss


def machine_seconds() -> tuple[float, float] | None:
    """(busy, all) CPU seconds of the whole machine since it started."""
    try:
        first = (PROC / "stat").read_text().partition("\n")[0]
    except FileNotFoundError:
        return None
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in first.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
