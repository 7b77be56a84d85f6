"""Logs: one line per thing that happened, for a person on a terminal and for a machine everywhere else.

Laws: whatever a value holds, it can neither start a new line nor steer a terminal; secrets are stars in every format;
a traceback never shows local variables; lines of foreign libraries look like ours and are quieter. Under the systemd
journal each line carries its priority (`man sd-daemon`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Literal, TextIO, TypeAlias, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from amibridge.redact import HIDDEN, Secret

Format: TypeAlias = Literal["auto", "console", "json", "logfmt"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

LONGEST_TEXT = 8_000  # characters; the journal cuts a line at 48 KiB, and what follows a cut could pose as a new line

_QUIET_LOGGERS = ("aiohttp.access", "alembic", "asyncio", "panoramisk", "sqlalchemy")
_SECRET_KEY = re.compile(r"api[-_]?key|secret|passw(or)?d|token|authorization|cookie", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    r"""(?P<name>(?:api[-_]?key|secret|password|token)["']?\s?[=:]\s?["']?)(?P<value>[^\s"'&,;]+)""",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"(?P<user>://[^\s:/@]*:)[^\s/@]+(?=@)")
_CONTROL = re.compile(
    # C0, DEL, C1 · direction marks · line and paragraph separators · direction overrides · byte order mark · surrogates
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_NEEDS_QUOTES = re.compile(r"""[\s="']|^$""")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
_PLAIN = "\x1b[0m"
_EVENT_COLUMN = 24


class Seldom:
    """Counts what strangers make happen, which is said once a minute: nobody else writes our log. Times are seconds."""

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._unsaid = 0
        self._quiet_till = 0.0

    def count(self, now: float) -> int:
        """It happened. How often, if that is to be said now; 0 if not."""
        self._unsaid += 1
        if now < self._quiet_till:
            return 0
        said, self._unsaid, self._quiet_till = self._unsaid, 0, now + self._every
        return said


class _OurOutput(logging.StreamHandler[TextIO]):
    """Marks the one root output that `configure` may replace."""


class _OurLines:
    """Where our own lines go: not through `logging`, which takes longer to carry a line than we to make it.

    As there, what cannot be shown or written is told on stderr and does not reach the caller.
    """

    def __init__(self, output: TextIO, processors: Sequence[Processor]) -> None:
        self._output = output
        self._processors = processors

    def write(self, event: EventDict) -> None:
        try:
            line: Any = event
            for process in self._processors:
                line = process(self, event.get("level", "info"), line)
            self._output.write(f"{line}\n")
            self._output.flush()
        except Exception:
            with suppress(OSError, ValueError):
                traceback.print_exc()

    debug = info = warning = error = critical = write


def configure(format: Format = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send our lines and those of foreign libraries to *stream* (default: stderr as it is now).

    May be called again, e.g. on SIGHUP. *level* is a key of `LEVELS`. Raises ValueError for an unknown format or level.
    """
    if format not in get_args(Format):
        raise ValueError(f"unknown log format {format!r}, one of {', '.join(get_args(Format))}")
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}, one of {', '.join(LEVELS)}")
    output = sys.stderr if stream is None else stream
    chosen = ("console" if output.isatty() else "json") if format == "auto" else format
    stamp = _stamp(chosen)
    render = _prioritised(_render(chosen, output)) if _is_journal(output) else _render(chosen, output)

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamp,
            lambda _, __, event: ((event,), {}),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _OurLines(output, [structlog.processors.format_exc_info, _hide_secrets, render]),
        cache_logger_on_first_use=False,  # a cached logger would not hear of a new level
    )
    handler = _OurOutput(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                stamp,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _hide_secrets,
                render,
            ],
        )
    )
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _OurOutput)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else max(logging.WARNING, LEVELS[level]))


def escape(text: str) -> str:
    """*text* with everything that could break a line or steer a terminal written out: ESC becomes ``\\e``."""
    return _CONTROL.sub(_written_out, text)


def escape_json(line: str) -> str:
    """The same for a line of JSON, which stays JSON that says the same."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def _written_out(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPES.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")


def _stamp(chosen: str) -> Processor:
    if chosen == "console":
        return structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def _render(chosen: str, output: TextIO) -> Processor:
    match chosen:
        case "console" if output.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
            return partial(_console, _COLOURS)
        case "console":
            return partial(_console, {})
        case "logfmt":
            return _logfmt
        case _:
            return _json


def _prioritised(render: Processor) -> Processor:
    """*render*, with systemd's priority in front of each line."""

    def rendered(logger: WrappedLogger, method: str, event: EventDict) -> str:
        mark = f"<{_PRIORITIES.get(event.get('level', 'info'), 6)}>"
        return "\n".join(mark + line for line in str(render(logger, method, event)).split("\n"))

    return rendered


def _is_journal(output: TextIO) -> bool:
    """True if *output* is the very stream systemd connected to the journal, not a redirection made later."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(output.fileno())
    except (OSError, ValueError):
        return False
    return (str(status.st_dev), str(status.st_ino)) == (device, inode)


def _hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: _plain(key, value) for key, value in event.items()}


def _plain(key: str, value: Any) -> Any:
    """*value* as JSON types only, with secrets starred and long text cut."""
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(key):
        return HIDDEN
    if type(value) is str:
        return _cut(_mask(value))
    match value:
        case Enum():
            return _plain(key, value.value)
        case int() | float():
            return value
        case Secret():
            return HIDDEN
        case str():
            return _cut(_mask(value))
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(name): _plain(str(name), inner) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(key, inner) for inner in value]
        case BaseException():
            return _cut(_mask(f"{type(value).__name__}: {value}"))
        case _:
            return _cut(_mask(repr(value)))


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _mask(text: str) -> str:
    if "=" not in text and ":" not in text:
        return text
    return _PASSWORD_IN_URL.sub(rf"\g<user>{HIDDEN}", _SECRET_IN_TEXT.sub(rf"\g<name>{HIDDEN}", text))


def _cut(text: str) -> str:
    """The head and the tail of a text too long for a line: a traceback says what happened in its last words."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}…[{len(text) - 2 * half} characters]…{text[-half:]}"


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return escape_json(json.dumps(_ordered(event), ensure_ascii=False, separators=(",", ":")))


def _logfmt(_: WrappedLogger, __: str, event: EventDict) -> str:
    return " ".join(f"{key}={_word(value)}" for key, value in _ordered(event).items())


def _console(colours: Mapping[str, str], _: WrappedLogger, __: str, event: EventDict) -> str:
    """Time, level and event in columns, then the rest; a traceback keeps its lines, each behind a bar of ours."""
    level, traceback = str(event.pop("level", "info")), str(event.pop("exception", ""))
    time, text = str(event.pop("timestamp", "")), escape(str(event.pop("event", "")))
    words = " ".join(f"{key}={_word(value)}" for key, value in event.items())
    shown = f"{level:<8} {text:<{_EVENT_COLUMN if words else 0}}"
    line = f"{time} {colours.get(level, '')}{shown}{_PLAIN if level in colours else ''} {words}".rstrip()
    return "\n".join([line, *(f"  | {escape(row)}" for row in traceback.split("\n") if traceback)])


def _ordered(event: EventDict) -> dict[str, Any]:
    return {name: event[name] for name in ("timestamp", "level", "event") if name in event} | dict(event)


def _word(value: Any) -> str:
    """*value* as one word: in quotes if a reader could take its parts for other keys."""
    match value:
        case str():
            text = value
        case list() if not any(isinstance(inner, list | dict) for inner in value):
            text = ",".join(str(inner) for inner in value)
        case _:
            text = json.dumps(value, ensure_ascii=False)
    if _NEEDS_QUOTES.search(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return escape(text)
