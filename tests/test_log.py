from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import structlog

from amibridge.log import LONGEST_TEXT, Format, configure, escape
from amibridge.redact import HIDDEN, Secret

FORMATS: tuple[Format, ...] = ("console", "json", "logfmt")
HOSTILE = "a\x1b[31mb\r\n2026 forged\x00\x07\x85\u2028\u202e\u2066\ufeff"
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _undo() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    root.setLevel(level)
    for name in ("aiohttp.access", "alembic", "asyncio", "panoramisk", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def only_json(out: io.StringIO) -> dict[str, Any]:
    (line,) = out.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_json_has_the_event_its_values_and_when(out: io.StringIO) -> None:
    configure("json", stream=out)
    log.info(
        "call_ended", call="pbx1:1700.1", operator="Иван", talked=timedelta(seconds=187.5), answered=True, line=None
    )
    line = only_json(out)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "event": "call_ended",
        "call": "pbx1:1700.1",
        "operator": "Иван",
        "talked": 187.5,
        "answered": True,
        "line": None,
    }
    assert "Иван" in out.getvalue()


def test_a_console_line_is_short_and_in_columns(out: io.StringIO) -> None:
    configure("console", stream=out)
    log.warning("host_lost", host="pbx1", rang=["101", "102"], reason="no answer = gone")
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d warning  host_lost {15} +host=pbx1 rang=101,102 reason="no answer = gone"\n', out.getvalue()
    )


def test_logfmt_values_cannot_pose_as_other_keys(out: io.StringIO) -> None:
    configure("logfmt", stream=out)
    log.info("call_ended", name='x" outcome=answered', empty="", nested={"a": [1]}, nothing=None)
    line = out.getvalue().rstrip("\n").partition(" ")[2]
    expected = r'level=info event=call_ended name="x\" outcome=answered" empty="" nested="{\"a\": [1]}" nothing=null'
    assert line == expected


@pytest.mark.parametrize("format", FORMATS)
def test_no_value_can_break_a_line_or_steer_a_terminal(format: Format, out: io.StringIO) -> None:
    configure(format, stream=out)
    log.info(HOSTILE, text=HOSTILE, several=[HOSTILE], nested={HOSTILE: HOSTILE}, error=ValueError(HOSTILE))
    logging.getLogger("asyncpg").warning("foreign %s", HOSTILE)
    lines = out.getvalue().split("\n")
    assert len(lines) == 3
    assert lines[-1] == ""
    assert not any(UNSAFE.search(line) for line in lines)


@pytest.mark.parametrize("format", FORMATS)
def test_an_exception_text_cannot_forge_a_line(format: Format, out: io.StringIO) -> None:
    configure(format, stream=out)
    try:
        raise ValueError(f"garbled {HOSTILE}")
    except ValueError:
        log.exception("task_failed", task="web")
    first, *rest = out.getvalue().rstrip("\n").split("\n")
    assert "task_failed" in first
    assert all(line.startswith("  | ") for line in rest)
    assert not any(UNSAFE.search(line) for line in [first, *rest])
    assert "ValueError: garbled" in out.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_tracebacks_never_show_local_variables(format: Format, out: io.StringIO) -> None:
    def connect() -> None:
        hidden_here = "".join(["top", "most"])
        raise ConnectionError(f"refused after {len(hidden_here)} bytes")

    configure(format, stream=out)
    try:
        connect()
    except ConnectionError:
        log.exception("host_refused")
    assert "refused after 7 bytes" in out.getvalue()
    assert "topmost" not in out.getvalue()


@dataclass(frozen=True)
class Login:
    username: str
    secret: Secret


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "values",
    [
        {"api_key": "S3CR"},
        {"apiKey": "S3CR"},
        {"X-API-KEY": "S3CR"},
        {"webhook_secret": "S3CR"},
        {"password": b"S3CR"},
        {"token": 5313, "again": {"secret": ["S3CR"]}},
        {"key": Secret("S3CR")},
        {"keys": [Secret("S3CR")]},
        {"keys": {"main": (Secret("S3CR"),)}},
        {"login": Login("amibridge", Secret("S3CR"))},
        {"url": "https://crm.example/api?apiKey=S3CR&limit=1"},
        {"dsn": "postgresql://amibridge:S3CR@db/amibridge"},
        {"sent": "Action: Login\r\nUsername: u\r\nSecret: S3CR\r\n\r\n"},
        {"sent": b"Action: Login\r\nSecret: S3CR\r\n\r\n"},
        {"error": RuntimeError("bad header X-API-KEY: S3CR")},
        {"form": "{'api_key': 'S3CR', 'site': 'x'}"},
    ],
)
def test_secrets_are_stars(format: Format, values: dict[str, Any], out: io.StringIO) -> None:
    configure(format, stream=out)
    log.info("asked_crm", **values)
    assert HIDDEN in out.getvalue()
    assert "S3CR" not in out.getvalue()
    assert "5313" not in out.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_secrets_are_stars_in_tracebacks_and_foreign_lines(format: Format, out: io.StringIO) -> None:
    configure(format, level="debug", stream=out)
    try:
        raise OSError("GET https://crm.example/api?apiKey=S3CR failed")
    except OSError:
        log.exception("crm_unreachable")
    logging.getLogger("panoramisk.manager").info("awaiting: %s", "Action: login\r\nSecret: S3CR\r\n")
    assert all(f"{name}{HIDDEN}" in out.getvalue() for name in ("apiKey=", "Secret: "))
    assert "S3CR" not in out.getvalue()


def test_a_string_enum_is_its_value(out: io.StringIO) -> None:
    class Direction(StrEnum):
        INCOMING = "incoming"

    configure("json", stream=out)
    log.info("call_started", direction=Direction.INCOMING, at=datetime(2026, 11, 24, 5, 0, tzinfo=UTC))
    line = only_json(out)
    assert (line["direction"], line["at"]) == ("incoming", "2026-11-24T05:00:00+00:00")


def test_a_giant_value_is_cut_in_the_middle(out: io.StringIO) -> None:
    configure("json", stream=out)
    log.info("garbled", text="begin" + "x" * 10 * LONGEST_TEXT + "end")
    text = only_json(out)["text"]
    assert len(text) < LONGEST_TEXT + 100
    assert text.startswith("begin")
    assert text.endswith("end")


def test_foreign_lines_match_ours_and_say_where_they_come_from(out: io.StringIO) -> None:
    configure("json", stream=out)
    logging.getLogger("asyncpg").error("lost %s", "db")
    line = only_json(out)
    assert line.pop("timestamp")
    assert line == {"level": "error", "event": "lost db", "logger": "asyncpg"}


@pytest.mark.parametrize("name", ["panoramisk.manager", "aiohttp.access", "alembic.runtime", "asyncio"])
def test_noisy_libraries_speak_up_only_at_debug(name: str, out: io.StringIO) -> None:
    configure("json", stream=out)
    logging.getLogger(name).info("chatter")
    assert out.getvalue() == ""
    logging.getLogger(name).warning("trouble")
    assert only_json(out)["event"] == "trouble"
    configure("json", level="debug", stream=out)
    logging.getLogger(name).info("chatter")
    assert "chatter" in out.getvalue()


def test_the_level_counts_and_can_be_changed_for_loggers_in_use(out: io.StringIO) -> None:
    bound = log.bind(host="pbx1")
    configure("json", level="warning", stream=out)
    log.info("quiet")
    assert out.getvalue() == ""
    configure("json", level="debug", stream=out)
    log.debug("loud")
    assert only_json(out)["event"] == "loud"
    assert bound is not None


def test_configuring_again_does_not_double_the_lines(out: io.StringIO) -> None:
    configure("json", stream=out)
    configure("json", stream=out)
    log.info("once")
    assert out.getvalue().count("once") == 1


def test_what_is_bound_to_the_context_is_on_every_line(out: io.StringIO) -> None:
    configure("json", stream=out)
    with structlog.contextvars.bound_contextvars(request="r-1"):
        log.info("ours")
        logging.getLogger("asyncpg").warning("theirs")
    assert [json.loads(line)["request"] for line in out.getvalue().splitlines()] == ["r-1", "r-1"]


def test_a_value_that_cannot_be_shown_does_not_reach_the_caller(
    out: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raises
    configure("json", stream=out)
    log.info("odd", value=Broken())
    log.info("next")
    assert only_json(out)["event"] == "next"
    assert "no words" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_does_not_reach_the_caller(
    out: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("json", stream=out)
    out.close()
    log.info("lost")
    assert "closed file" in capsys.readouterr().err


@pytest.mark.parametrize(("format", "level"), [("yaml", "info"), ("json", "loud"), ("json", "INFO")])
def test_a_wrong_choice_is_named_with_the_right_ones(format: Any, level: str) -> None:
    with pytest.raises(ValueError, match=r"unknown log (format 'yaml'.*logfmt|level '(loud|INFO)'.*warning)"):
        configure(format, level)


def test_auto_is_console_with_colours_on_a_terminal_and_json_elsewhere(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    configure("auto", stream=out)
    log.warning("host_lost")
    assert only_json(out)["event"] == "host_lost"

    assert "\x1b[33m" in _on_a_terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = _on_a_terminal()
    assert "\x1b" not in plain
    assert re.match(r"\d\d:\d\d:\d\d warning  host_lost", plain)


def _on_a_terminal() -> str:
    """What a terminal is sent when a hostile warning is logged."""
    ours, theirs = pty.openpty()
    try:
        with open(theirs, "w", encoding="utf-8") as terminal:
            configure("auto", stream=terminal)
            log.warning("host_lost", text="\u202e")
            return os.read(ours, 4096).decode()
    finally:
        os.close(ours)


@pytest.mark.parametrize("format", FORMATS)
def test_each_line_carries_its_priority_when_the_stream_is_the_journal(
    format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure(format, level="debug", stream=stream)
        log.debug("a")
        log.info("b")
        log.warning("c")
        log.error("d", exc_info=ValueError("x\ny"))
        log.critical("e")
        stream.seek(0)
        marks = [line[:3] for line in stream.read().splitlines()]
    assert list(dict.fromkeys(marks)) == ["<7>", "<6>", "<4>", "<3>", "<2>"]


@pytest.mark.parametrize("journal", ["1:2", "nonsense", ""])
def test_no_priority_when_stderr_was_sent_elsewhere(
    journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: io.StringIO
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", journal)
    with (tmp_path / "file").open("w+", encoding="utf-8") as stream:
        configure("json", stream=stream)
        log.info("b")
        stream.seek(0)
        assert stream.read().startswith("{")
    configure("json", stream=out)
    log.info("b")
    assert out.getvalue().startswith("{")


def test_escape_keeps_words_and_writes_out_the_rest() -> None:
    assert escape("Ромашка 👍🏽 a\tb") == "Ромашка 👍🏽 a\\tb"
    assert escape("\x1b[0m\u202e\udc80") == "\\e[0m\\u202e\\udc80"
