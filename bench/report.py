"""The figures as a table for people or as JSON, the machine they were taken on first."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import assert_never

from bench.click import ClickRow
from bench.drain import BesideRow, DrainRow
from bench.fuzz import FuzzRow
from bench.hour import HourRow
from bench.parse import SUBSCRIPTIONS, ParseRow
from bench.popup import PopupRow
from bench.responsible import ResponsibleRow
from bench.soak import SoakRow
from bench.web import ANSWER_AIM, LATE_AIM, AnswersRow, TownRow

FOLD_AIM = 8
FOLD_RATE_AIM = 100_000

SYNCS = 200

Row = (
    ParseRow | PopupRow | ClickRow | DrainRow | BesideRow | ResponsibleRow | AnswersRow | TownRow | HourRow | SoakRow
    | FuzzRow
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """*sync_p50*, *sync_p99*: milliseconds until 8 kB are safe on the disk of the temporary folder, where a private
    database lies. *extras*: packages that the daemon does not ask for, and that its memory holds all the same."""

    python: str
    system: str
    cores: int
    panoramisk: str
    uvloop: str
    sync_p50: float
    sync_p99: float
    extras: Sequence[str]


def this_machine() -> Machine:
    taken = sorted(_syncs())
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        panoramisk=importlib.metadata.version("panoramisk"),
        uvloop=importlib.metadata.version("uvloop") if importlib.util.find_spec("uvloop") else "none",
        sync_p50=taken[SYNCS // 2],
        sync_p99=taken[SYNCS * 99 // 100],
        extras=[name for name in ("rich",) if importlib.util.find_spec(name)],  # structlog loads it when it is there
    )


def as_json(machine: Machine, rows: Mapping[str, Sequence[Row]]) -> str:
    return json.dumps({"machine": asdict(machine), **{name: [asdict(row) for row in of] for name, of in rows.items()}})


def machine_lines(machine: Machine) -> list[str]:
    lines = [
        f"{machine.python}, {machine.cores} cores, {machine.system}, uvloop {machine.uvloop}, "
        f"panoramisk {machine.panoramisk}; a write is on disk after {machine.sync_p50:.2f} ms "
        f"(1 in 100: {machine.sync_p99:.2f})"
    ]
    if machine.extras:
        lines.append(f"not a runtime install: {', '.join(machine.extras)} adds to the daemon's memory")
    return lines


def parse_lines(rows: Sequence[ParseRow]) -> list[str]:
    table = [("stream", "client", "events", "delivered", "µs/event", "events/s", "x panoramisk")]
    for row in rows:
        cells = (f"{row.events}", f"{row.delivered}", f"{row.cpu_us:.2f}", f"{row.events_per_s:,.0f}")
        table.append((row.stream, row.client, *cells, f"{row.speedup:.1f}"))
    title = f"PARSE  one client's CPU, {len(SUBSCRIPTIONS)} subscriptions, no socket; median of {rows[0].rounds} rounds"
    aim = f"aim: {FOLD_AIM} x panoramisk and {FOLD_RATE_AIM:,} events/s for parse and fold on the first stream"
    return [title, *_aligned(table, left=2), aim]


def popup_lines(rows: Sequence[PopupRow]) -> list[str]:
    shown: list[tuple[str, Callable[[PopupRow], str], str]] = [
        ("calls, events", lambda row: f"{row.calls}, {row.events}", ""),
        ("enterprises, a host each", lambda row: f"{row.enterprises}", ""),
        ("popups measured, lost", lambda row: f"{row.popups}, {row.lost}", "lost 0"),
        ("calls in the CRM's history", lambda row: f"{row.history}", "all"),
        ("latency p50, ms", lambda row: _number(row.p50, 2), "2.5"),
        ("latency p90, ms", lambda row: _number(row.p90, 2), ""),
        ("latency p99, ms", lambda row: _number(row.p99, 2), "20"),
        ("latency max, ms", lambda row: _number(row.longest, 2), ""),
        ("longest stall of the loop, ms", lambda row: f"{row.stall:.1f}", "50"),
        ("memory, MB", lambda row: _number(row.rss, 1), "64"),
        ("memory at its peak, MB", lambda row: _number(row.peak, 1), ""),
        ("daemon's CPU, % of a core", lambda row: _number(row.cpu, 1, 100), ""),
        ("daemon's CPU, µs/event", lambda row: _number(row.cpu_us_per_event, 1), ""),
        ("whole machine busy, %", lambda row: _number(row.machine, 0, 100), ""),
    ]
    table = [("", *(f"{row.rate:g} calls/s" for row in rows), "aim")]
    table += [(name, *(cell(row) for row in rows), aim) for name, cell, aim in shown]
    return ["POPUP  from AMI byte to CRM request, unfiltered events, durable first", *_aligned(table, left=1)]


def click_lines(rows: Sequence[ClickRow]) -> list[str]:
    shown: list[tuple[str, Callable[[ClickRow], str], str]] = [
        ("clicks placed, lost", lambda row: f"{row.clicks}, {row.lost}", "lost 0"),
        ("to the Originate p50, ms", lambda row: _number(row.originate_p50, 2), ""),
        ("to the Originate p99, ms", lambda row: _number(row.originate_p99, 2), "100"),
        ("to the Originate max, ms", lambda row: _number(row.originate_longest, 2), ""),
        ("to the answer p50, ms", lambda row: _number(row.answer_p50, 2), ""),
        ("to the answer p99, ms", lambda row: _number(row.answer_p99, 2), ""),
    ]
    table = [("", *(f"{row.rate:g} calls/s" for row in rows), "aim")]
    table += [(name, *(cell(row) for row in rows), aim) for name, cell, aim in shown]
    return ["CLICK  from an HTTP request to the PBX, one after another", *_aligned(table, left=1)]


def drain_lines(rows: Sequence[DrainRow | BesideRow]) -> list[str]:
    table: list[Sequence[str]] = [("calls", "seconds", "calls/min", "busiest second of /telephony", "of other methods")]
    beside: list[Sequence[str]] = [("popups beside", "measured, lost", "p50, ms", "p99, ms", "max, ms", "x p50 alone")]
    alone = next((row.p50 for row in rows if isinstance(row, BesideRow)), None)
    for row in rows:
        if isinstance(row, DrainRow):
            counts = (f"{row.telephony} of 40", f"{row.ordinary} of 10")
            table.append((f"{row.calls:,}", f"{row.seconds:.1f}", f"{row.per_minute:,.0f}", *counts))
        else:
            times = [_number(time, 2) for time in (row.p50, row.p99, row.longest)]
            ratio = _number(row.p50 / alone if row.p50 and alone else None, 2)
            beside.append((row.beside, f"{row.popups}, {row.lost}", *times, ratio))
    title = "DRAIN  history of one account whose CRM answers after 150 ms, an errand for each call; and its neighbours"
    return [title, *_aligned(table, left=0), "aim: 2,000 calls/min", *_aligned(beside, left=1)]


def responsible_lines(rows: Sequence[ResponsibleRow]) -> list[str]:
    table = [("whose call", "asked by", "answers", "wrong", "p50, ms", "p90", "p99", "max", "aim, p99")]
    for row in rows:
        p50, p90, p99, longest = (_number(each, 2) for each in (row.p50, row.p90, row.p99, row.longest))
        counts = (f"{row.answers}", f"{row.wrong}")
        table.append((row.whose, row.way, *counts, p50, p90, p99, longest, f"{row.aim:g}"))
    return ["RESPONSIBLE  from connecting to the answer, while the CRM does not answer", *_aligned(table, left=2)]


def web_lines(rows: Sequence[AnswersRow | TownRow | HourRow]) -> list[str]:
    table: list[Sequence[str]] = [("asked for", "right answers", "p50, ms", "p90", "p99", "max")]
    lines: list[str] = []
    for row in rows:
        match row:
            case AnswersRow():
                times = (_number(each, 2) for each in (row.p50, row.p90, row.p99, row.longest))
                table.append((row.kind, f"{row.answers:,}", *times))
            case TownRow():
                lines += ["", *_town_lines(row)]
            case HourRow():
                lines += ["", *_hour_lines(row)]
            case _ as never:
                assert_never(never)
    title = "WEB  from the moment somebody meant to ask to the last byte, while phones ring"
    return [title, *_aligned(table, left=1), f"aim: p99 of all {ANSWER_AIM:g} ms", *lines]


def _town_lines(row: TownRow) -> list[str]:
    table = [
        ("questions a second, seconds", f"{row.rate:g}, {row.seconds:g}", ""),
        ("enterprises, a host each", f"{row.enterprises}", ""),
        ("questions, wrong answers", f"{row.asked:,}, {row.wrong:,}", "wrong 0"),
        ("clicks meant, calls placed", f"{row.clicks}, {row.placed}", "the same"),
        ("events written, heard", f"{row.events:,}, {row.heard:,}", "the same"),
        ("an event is heard after p50, ms", _number(row.late_p50, 2), ""),
        ("an event is heard after p99, ms", _number(row.late_p99, 2), ""),
        ("an event is heard after max, ms", _number(row.latest, 2), f"{LATE_AIM:g}"),
        ("popups measured, lost", f"{row.popups}, {row.lost}", "lost 0"),
        ("popup p50, ms", _number(row.popup_p50, 2), ""),
        ("popup p99, ms", _number(row.popup_p99, 2), ""),
        ("longest stall of the loop, its start included, ms", f"{row.stall:.1f}", ""),
        ("whoever asked was late himself p99, ms", _number(row.asked_late, 2), ""),
        ("connections", f"{row.connections:,}", ""),
        ("memory, MB", _number(row.rss, 1), ""),
        ("daemon's CPU, % of a core", _number(row.cpu, 1, 100), ""),
        ("whole machine busy, %", _number(row.machine, 0, 100), ""),
    ]
    return [*_aligned([("", "", "aim"), *table], left=1), *(f"wrong: {what}" for what in row.kinds_of_wrong)]


def _hour_lines(row: HourRow) -> list[str]:
    table = [
        ("minutes of WAV, seconds until they are mp3", f"{row.minutes:g}, {row.seconds:.1f}", ""),
        ("looks whether the loop turns", f"{row.looks:,}", ""),
        ("a look p99, ms", _number(row.look_p99, 2), ""),
        ("a look max, ms", _number(row.look_longest, 2), f"{LATE_AIM:g}"),
        (f"the latest of {row.events:,} events, ms", _number(row.latest, 2), f"{LATE_AIM:g}"),
    ]
    return _aligned([("", "", "aim"), *table], left=1)


def soak_lines(rows: Sequence[SoakRow]) -> list[str]:
    table = [("events", "calls", "remembered", "memory, MB", "µs/event")]
    for row in rows:
        table.append(
            (f"{row.events:,}", f"{row.calls:,}", f"{row.remembered}", _number(row.rss, 1), f"{row.cpu_us:.2f}")
        )
    return ["SOAK  parse and fold in one process", *_aligned(table, left=0)]


def fuzz_lines(rows: Sequence[FuzzRow]) -> list[str]:
    table = [("messages", "garbled", "facts", "anomalies", "remembered", "memory, MB", "µs/message")]
    for row in rows:
        table.append(
            (f"{row.messages:,}", f"{row.garbled:,}", f"{row.facts:,}", f"{row.anomalies}", f"{row.remembered}",
             _number(row.rss, 1), f"{row.cpu_us:.2f}")
        )  # fmt: skip
    return ["FUZZ  mutated messages through parse and fold in one process", *_aligned(table, left=0)]


def _number(value: float | None, digits: int, times: float = 1) -> str:
    return "?" if value is None else f"{value * times:.{digits}f}"


def _aligned(table: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Columns, the first *left* of them flush left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _syncs() -> Iterator[float]:
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            file.write(bytes(8192))
            file.flush()
            begun = time.monotonic()
            os.fsync(file.fileno())
            yield (time.monotonic() - begun) * 1000
