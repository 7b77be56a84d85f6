"""`amibridge capture --call ID`: one call out of the last hours that are kept of its host.

Laws: the ring is read without the database, so that it is there when the database is not; only a call that the ring
has no more is looked for among the anomalies. What a person says is never a path.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from amibridge.ami.cutting import Kinship, cut
from amibridge.ami.transcript import ended
from amibridge.ami.wire import Framer
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import CallId
from amibridge.cli.configured import begin, in_loop
from amibridge.cli.failure import CommandFailed
from amibridge.cli.hosts import host_in_file, host_in_store, several, split_host
from amibridge.cli.ownership import act_as_owner
from amibridge.cli.stored import open_store
from amibridge.cli.trace_file import TraceFile, mask_for, open_trace_file
from amibridge.config import ConfigError, Settings
from amibridge.enterprises import EnterpriseId
from amibridge.log import escape
from amibridge.runtime.ring import WRITE_EVERY
from amibridge.runtime.ring_files import RING, began_at, enterprises_with, folder_of, frames_in, pieces
from amibridge.store.anomalies import AnomalyRow, anomalies_of_call

CALL = re.compile(r"([0-9A-Za-z][0-9A-Za-z_.-]{0,63}):([!-~]{1,150})")
_CHANNEL = re.compile(rb"Event: (Newchannel|Hangup)\r\n(?s:.*?)\r\nUniqueid: ([^\r]+)")
_EPOCH = re.compile(r"(\d{9,10})\.\d+$")

LATER = f"what a PBX says is on disk {WRITE_EVERY.total_seconds():.0f} s later"


class _Wanted(NamedTuple):
    """*enterprise* None: whichever has a host of that name. *numbering* None: to be asked of the database."""

    call: CallId
    host: str
    uniqueid: str
    enterprise: EnterpriseId | None
    is_masked: bool
    numbering: Numbering | None


class _NotKept(Exception):
    """The ring does not have the call. The text says why."""


def cut_out(args: argparse.Namespace) -> int:
    wanted = _wanted(args)
    settings = begin(args)
    with open_trace_file(args.output, force=args.force) as file:
        act_as_owner(settings.data_dir)
        try:
            _cut(settings, wanted, file)
        except _NotKept as reason:
            row = in_loop(_find_anomaly(settings, wanted, str(reason)))
            _write_row(row, file, str(reason), _mask(settings, wanted, row.enterprise))
    return 0


def _wanted(args: argparse.Namespace) -> _Wanted:
    """Raises ConfigError."""
    form = CALL.fullmatch(args.call)
    if form is None:
        raise ConfigError([f"{args.call!r} is not the id of a call, which looks like pbx1:1795491044.6"])
    if args.seconds is not None:
        raise ConfigError(["--seconds is for what a PBX says from now on, not for --call"])
    enterprise, host = split_host(args.host) if args.host is not None else (None, form[1])
    if host != form[1]:
        raise ConfigError([f"{args.call} is a call of {form[1]}, not of {args.host!r}"])
    numbering = None
    if args.enterprise is not None:
        told = host_in_file(args.enterprise, args.host or host)
        enterprise, numbering = told.enterprise, told.numbering
    number = None if enterprise is None else EnterpriseId(enterprise)
    return _Wanted(CallId(args.call), host, form[2], number, args.mask, numbering)


def _cut(settings: Settings, wanted: _Wanted, file: TraceFile) -> None:
    """Write the call out of the ring. Raises _NotKept, CommandFailed, OSError."""
    root = settings.data_dir / RING
    enterprise = wanted.enterprise or _only_enterprise(root, wanted.host)
    kept = pieces(folder_of(root, enterprise, wanted.host))
    if not kept:
        raise _NotKept(f"nothing is kept of {enterprise}/{wanted.host} in {root}")
    damaged: dict[Path, str] = {}
    kinship = Kinship()
    for message in _messages(kept, damaged.__setitem__):
        kinship.learn(message)
    for piece, why in damaged.items():
        print(escape(f"{piece}: {why}"), file=sys.stderr)
    kin = kinship.of(wanted.uniqueid.encode())
    if not kin:
        raise _NotKept(_why_not(wanted, f"{enterprise}/{wanted.host}", began_at(kept[0])))
    mask = _mask(settings, wanted, enterprise)
    count, begun, gone = 0, set[bytes](), set[bytes]()
    for message in cut(_messages(kept, lambda *_: None), kin):
        file.write(ended([mask(message)]))
        count += 1
        if (change := _CHANNEL.match(message)) is not None:
            (begun if change[1] == b"Newchannel" else gone).add(change[2])
    print(f"{wanted.call}: {count} messages, {file.written / 1000:.0f} kB", file=sys.stderr)
    if gone - begun or not begun:
        print("amibridge: its beginning is older than what is kept", file=sys.stderr)
    if begun - gone:
        print(f"amibridge: it has no end in what is kept; {LATER}", file=sys.stderr)


def _mask(settings: Settings, wanted: _Wanted, enterprise: str) -> Callable[[bytes], bytes]:
    """What is written of a message. Raises CommandFailed when the database cannot say what an extension is."""
    if not wanted.is_masked:
        return bytes
    if wanted.numbering is not None:
        return mask_for(wanted.numbering)
    try:
        return mask_for(in_loop(host_in_store(settings, f"{enterprise}/{wanted.host}")).numbering)
    except CommandFailed as failure:
        raise CommandFailed(
            f"--mask must know what an extension of {enterprise}/{wanted.host} is: {failure}; "
            "or say --enterprise FILE, its file"
        ) from failure


def _messages(kept: list[Path], on_damage: Callable[[Path, str], None]) -> Iterator[bytes]:
    for piece in kept:
        yield from frames_in(piece, on_damage)


def _only_enterprise(root: Path, host: str) -> str:
    found = enterprises_with(root, host)
    if len(found) > 1:
        raise CommandFailed(several(host, found))
    if not found:
        raise _NotKept(f"nothing is kept of a host {host} in {root}")
    return found[0]


def _why_not(wanted: _Wanted, host: str, since: datetime) -> str:
    epoch = _EPOCH.search(wanted.uniqueid)
    if epoch is not None and (began := datetime.fromtimestamp(int(epoch[1]), UTC)) < since:
        return f"{wanted.call} began at {_shown(began)}, and what is kept of {host} at {_shown(since)}"
    return f"nothing was heard of {wanted.call} on {host} since {_shown(since)}; {LATER}"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


async def _find_anomaly(settings: Settings, wanted: _Wanted, reason: str) -> AnomalyRow:
    """The newest anomaly of the call with bytes. Raises CommandFailed."""
    try:
        async with open_store(settings) as pool:
            found = await anomalies_of_call(pool, wanted.call, wanted.enterprise)
    except CommandFailed as failure:
        raise CommandFailed(f"{reason}; nor can anomalies be looked through: {failure}") from failure
    rows = [row for row in found if row.trace]
    if not rows:
        raise CommandFailed(reason)
    enterprises = sorted({row.enterprise for row in rows})
    if len(enterprises) > 1:
        raise CommandFailed(several(wanted.host, enterprises))
    return rows[0]


def _write_row(row: AnomalyRow, file: TraceFile, reason: str, mask: Callable[[bytes], bytes]) -> None:
    file.write(ended(map(mask, Framer().feed(row.trace))))
    what = f"these are the {len(row.trace) / 1000:.0f} kB kept with its anomaly of {_shown(row.at)}"
    print(escape(f"amibridge: {reason}; {what}: {row.text}"), file=sys.stderr)
