"""The parts of an enterprise that its row holds beside others: missed calls, our module, who should take a call."""

from __future__ import annotations

import asyncpg

from amibridge.enterprises import (
    Fallback,
    MissedCalls,
    ModuleStanding,
    NamePart,
    ResponsibleMode,
    ResponsibleSettings,
)


def missed_calls_of(row: asyncpg.Record) -> MissedCalls:
    return MissedCalls(
        wait=row["missed_wait"],
        never_for=tuple(row["missed_never_for"]),
        performer=row["task_performer"],
        text=row["missed_text"],
        task_within=row["task_within"],
        order_method=row["order_method"],
        order_type=row["order_type"],
        order_status=row["order_status"],
        order_status_reached=row["order_status_reached"],
    )


def module_of(row: asyncpg.Record) -> ModuleStanding:
    if row["told_at"] is None:
        return ModuleStanding()
    return ModuleStanding(row["active"], row["frozen"], row["told_at"], unheeded=row["unheeded"])


def responsible_of(row: asyncpg.Record) -> ResponsibleSettings:
    return ResponsibleSettings(
        ResponsibleMode(row["responsible_mode"]),
        row["responsible_dialplan"],
        Fallback(row["responsible_fallback"]),
        tuple(NamePart(part) for part in row["responsible_name"]),
    )
