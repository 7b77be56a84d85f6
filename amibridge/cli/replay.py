"""`amibridge replay`: raw AMI bytes through the same core; call records, facts or CRM requests come out.

Needs no database, PBX or CRM. Each trace is a world of its own: its own board, its own Uniqueids.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from amibridge.ami.events import AmiEvent
from amibridge.ami.session import Reply, Session
from amibridge.ami.trace import read_trace
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact, CallEnded
from amibridge.calls.notices import NoticeKind, notices_of
from amibridge.calls.numbering import Numbering
from amibridge.calls.reasons import because
from amibridge.calls.telling import AnomalyKind
from amibridge.cli.failure import CommandFailed
from amibridge.enterprises import Enterprise
from amibridge.log import escape, escape_json
from amibridge.retailcrm.render import history, popup
from amibridge.retailcrm.requests import Request

WONDERS = {AnomalyKind.CHANGE: "unknown change", AnomalyKind.DIRECTION: "not decided"}


class _NoTrace(Exception):
    """There is not one message of AMI in it."""


def replay(args: argparse.Namespace, enterprise: Enterprise | None) -> int:
    """Print what each trace of *args* tells.

    Exit code 1 if a trace could not be read or holds no AMI message, said on stderr.
    """
    failed = 0
    if args.render and enterprise is not None and enterprise.time_zone is None:
        print("dates are in UTC: the enterprise file names no `timezone`, and no CRM is asked", file=sys.stderr)
    for path in args.trace:
        try:
            for line in _lines(path, args, enterprise):
                _write(line)
        except _NoTrace:
            print(escape(f"{path}: no AMI messages in it"), file=sys.stderr)
            failed = 1
        except BrokenPipeError:
            raise  # that is not the trace but whoever read our output
        except OSError as error:
            print(escape(f"{path}: {error.strerror or error}"), file=sys.stderr)
            failed = 1
    return failed


def _write(line: str) -> None:
    try:
        print(line)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, for which no trace is to blame
        raise CommandFailed(f"the output cannot be written: {error.strerror or error}") from error


def _lines(path: str, args: argparse.Namespace, enterprise: Enterprise | None) -> Iterator[str]:
    host, numbering = _host_of(args, enterprise)
    board, session = Board(host, numbering), Session()
    for event, fact in _facts(board, session, read_trace(path)):
        if args.facts:
            yield _dump({"kind": fact.word, **dataclasses.asdict(fact), "because": because(fact, event)})
        elif isinstance(fact, CallEnded):
            yield _dump(fact.record.as_json())
        if args.render and enterprise is not None:
            yield from (_dump(_shown(request)) for request in _requests(fact, enterprise))
    if not args.facts:
        for record in board.live_calls():
            yield _dump(record.as_json())
    for anomaly in board.take_anomalies():
        print(escape(f"{path}: {anomaly.call}: {WONDERS[anomaly.kind]}, {anomaly.text}"), file=sys.stderr)
    if session.garbled or session.oversized:
        print(escape(f"{path}: {session.garbled + session.oversized} messages could not be read"), file=sys.stderr)
    if not session.has_heard:
        raise _NoTrace


def _facts(board: Board, session: Session, chunks: Iterable[bytes]) -> Iterator[tuple[AmiEvent, AnyFact]]:
    """Each fact with the event that brought it about."""
    for chunk in chunks:
        for received in session.receive_data(chunk):
            if not isinstance(received, Reply):
                yield from ((received, fact) for fact in board.apply(received))


def _host_of(args: argparse.Namespace, enterprise: Enterprise | None) -> tuple[str, Numbering]:
    if enterprise is None:
        return args.host or "pbx", Numbering()
    for host in enterprise.hosts:
        if args.host in (None, host.name):
            return host.name, host.numbering
    return args.host or "pbx", Numbering(region=enterprise.region)


def _requests(fact: AnyFact, enterprise: Enterprise) -> Iterator[Request[Any]]:
    zone = enterprise.time_zone or ZoneInfo("UTC")
    for notice in notices_of(fact):
        if notice.kind is NoticeKind.POPUP:
            request = popup([fact], enterprise)
            if request is not None:
                yield request
        elif notice.kind is NoticeKind.HISTORY and isinstance(fact, CallEnded):
            yield history([fact.record], enterprise, zone, lambda record: None)


def _shown(request: Request[Any]) -> dict[str, object]:
    return {"request": f"{request.method} {request.path}", **request.form}


def _dump(what: object) -> str:
    return escape_json(json.dumps(what, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"cannot print {value!r}")
