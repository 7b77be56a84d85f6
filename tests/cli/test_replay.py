"""`amibridge replay`: the published call record, for every recorded trace, held against what the phones told."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amibridge.calls.board import Board, replay
from amibridge.calls.facts import CallEnded
from tests.calls.truth import NEVER_SHOWN, events_of, expected, read_bytes, truths
from tests.cli.commanding import Amibridge, Done
from tests.cli.enterprise_files import EXAMPLE, SMALLEST, written
from tests.corpus import TRACES, Trace
from tests.house.source import ROOT
from tests.retailcrm.contract import is_valid

TOLERANCE = timedelta(milliseconds=250)
"""Phones and Asterisk see one moment some milliseconds apart."""

LOAD = "z3_load_readall"
"""480 calls at once; its truth has a shape of its own."""

DOCUMENT = (ROOT / "docs" / "call-record.md").read_text("utf-8")

_, _, _OUTCOMES = DOCUMENT.partition("## Outcomes")
OUTCOMES = re.findall(r"^\| `(\w+)` \|", _OUTCOMES.partition("\n## ")[0], re.MULTILINE)[1:]


def trace(kind: str) -> Trace:
    return next(one for one in TRACES if one.stack == "asterisk22" and one.kind.startswith(f"{kind}_"))


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d")


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_time(value: object) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", value) is not None
    )


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_transfers(value: object) -> bool:
    return isinstance(value, list) and all(set(one) == {"kind", "from", "to", "at", "answered"} for one in value)


TYPES: Mapping[str, Callable[[object], bool]] = {
    "str": is_text,
    "list[str]": is_texts,
    "list[object]": is_transfers,
    "number": is_number,
    "bool": lambda value: isinstance(value, bool),
    "ISO 8601 with offset, µs": is_time,
    "same": is_time,
    "see below": lambda value: value in OUTCOMES,
    "null": lambda value: value is None,
}
"""The words for types in `docs/call-record.md`; anything else there is a literal."""


def published() -> dict[str, list[str]]:
    """Each field of the published record with the types that it may have."""
    table = DOCUMENT.partition("| Field | Type | Meaning |")[2].partition("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| ", table.replace("\\|", "/"), re.MULTILINE)
    return {name: [one.strip(" `") for one in types.split("/")] for name, types in rows}


def assert_published(record: Mapping[str, Any]) -> None:
    fields = published()
    assert set(record) == set(fields)
    for name, types in fields.items():
        value = record[name]
        fits = [TYPES[one](value) if one in TYPES else value == one for one in types]
        assert any(fits), f"{name}: {value!r} is none of {types}"


def told(done: Done, *, code: int = 0) -> list[dict[str, Any]]:
    assert done.code == code, done.err
    records: list[dict[str, Any]] = done.answers
    for record in records:
        assert_published(record)
    return records


class TestRecords:
    def test_the_document_is_read(self) -> None:
        assert len(published()) >= 24
        assert published()["reason"] == ["str", "null"]
        assert published()["direction"] == ["incoming", "outgoing", "internal"]
        assert OUTCOMES == ["answered", "missed", "no_answer", "busy", "cancelled", "failed"]

    @pytest.mark.parametrize("one", [one for one in TRACES if one.kind != LOAD], ids=str)
    def test_every_trace_gives_the_published_records_of_what_happened(self, amibridge: Amibridge, one: Trace) -> None:
        records = told(amibridge("replay", one.path))
        truth = truths(one.truth)
        assert len(records) == len(truth)
        unknowable = NEVER_SHOWN.get(one.kind, set())
        for record, happened in zip(records, truth, strict=True):
            want = expected(happened)
            record["transfers"] = [
                (one["kind"], one["from"], one["to"], one["answered"]) for one in record["transfers"]
            ]
            for name, value in want.fields.items():
                assert name in unknowable or record[name] == value, name
            for name, time in want.times.items():
                if name in unknowable:
                    continue
                assert (record[name] is None) == (time is None), name
                assert time is None or abs(datetime.fromisoformat(record[name]) - time) < TOLERANCE, name
            if "talk_seconds" not in unknowable:
                assert record["talk_seconds"] == pytest.approx(want.talk_seconds, abs=0.25)
            started, until = (
                datetime.fromisoformat(at) for at in (record["started_at"], record["answered_at"] or record["ended_at"])
            )
            assert record["waited_seconds"] == pytest.approx((until - started).total_seconds())
            assert record["call_id"].startswith("pbx:")
            assert (record["outcome"] == "answered") == (record["reason"] is None)

    @pytest.mark.slow
    @pytest.mark.parametrize("one", [one for one in TRACES if one.kind == LOAD], ids=str)
    def test_hundreds_of_calls_at_once(self, amibridge: Amibridge, one: Trace) -> None:
        records = told(amibridge("replay", one.path))
        outcomes = {"answered": "answered", "busy": "missed", "cancelled": "missed"}
        assert Counter((record["external_number"], record["line"], record["outcome"]) for record in records) == Counter(
            (caller, callee, outcomes[disposition]) for caller, callee, disposition in truths(one.truth)
        )
        ends = [datetime.fromisoformat(record["ended_at"]) for record in records]
        assert ends == sorted(ends)

    def test_a_call_that_is_still_open_is_printed_last(self, amibridge: Amibridge, tmp_path: Path) -> None:
        whole, other = read_bytes(trace("a").path), read_bytes(trace("b").path)
        talking = other.index(b"Event: BridgeEnter", other.index(b"Event: BridgeEnter") + 1)
        begun = other[: other.index(b"\r\n\r\n", talking) + 4]
        file = tmp_path / "open.ami"
        file.write_bytes(begun + whole)
        ended, opened = told(amibridge("replay", file))
        assert (ended["outcome"], opened["outcome"]) == ("answered", None)
        assert (opened["ended_at"], opened["hangup_by"], opened["reason"]) == (None, None, None)
        assert opened["answered_at"] is not None
        assert opened["operators"] == ["101"]
        assert opened["started_at"] != ended["started_at"]


class TestSources:
    def test_a_packed_trace_is_the_trace(self, amibridge: Amibridge, tmp_path: Path) -> None:
        packed = tmp_path / "a.ami.gz"
        packed.write_bytes(gzip.compress(read_bytes(trace("a").path)))
        assert amibridge("replay", packed).out == amibridge("replay", trace("a").path).out != ""

    def test_standard_input(self, amibridge: Amibridge) -> None:
        done = amibridge("replay", "-", stdin=read_bytes(trace("a").path))
        assert (done.code, done.err) == (0, "")
        assert done.out == amibridge("replay", trace("a").path).out

    def test_several_traces_are_worlds_of_their_own(self, amibridge: Amibridge) -> None:
        paths = [trace(kind).path for kind in ("a", "d", "a")]
        alone = [amibridge("replay", path).out for path in paths]
        assert amibridge("replay", *paths).out == "".join(alone)

    def test_the_host_begins_the_ids(self, amibridge: Amibridge) -> None:
        [here] = told(amibridge("replay", trace("a").path))
        [there] = told(amibridge("replay", "--host", "moscow", trace("a").path))
        assert there == here | {"call_id": here["call_id"].replace("pbx:", "moscow:")}

    def test_an_enterprise_says_what_an_extension_is(self, amibridge: Amibridge, tmp_path: Path) -> None:
        """Whose extensions have four digits does not know 101, so nobody of its own took that call."""
        file = written(tmp_path, EXAMPLE.replace(r"^1\d\d$", r"^\d{4}$"))
        [usual] = told(amibridge("replay", "--enterprise", written(tmp_path, EXAMPLE, "usual.toml"), trace("a").path))
        assert (usual["call_id"].partition(":")[0], usual["rang"]) == ("pbx1", ["101"])
        done = amibridge("replay", "--enterprise", file, trace("a").path)
        assert ["101"] not in [record["rang"] for record in told(done)]


class TestFacts:
    @pytest.mark.parametrize("kind", ["a", "i", "k", "n1", "p1"])
    def test_every_fact_in_order(self, amibridge: Amibridge, kind: str) -> None:
        said = amibridge("replay", "--facts", trace(kind).path).answers
        facts = replay(Board("pbx"), events_of(trace(kind).path))
        assert [(one["kind"], one["key"], one["call"]) for one in said] == [
            (fact.word, fact.key, fact.call) for fact in facts
        ]
        assert all(is_time(one["at"]) for one in said)
        assert all(": " in one["because"] for one in said)
        assert all(one["brief"]["direction"] in published()["direction"] for one in said)
        ends = [one["record"]["call_id"] for one in said if "record" in one]
        assert ends == [fact.call for fact in facts if isinstance(fact, CallEnded)]


USERS = {27: "101", 31: "102"}
"""The CRM's users in the example, and their extensions."""


class TestRequests:
    @pytest.mark.parametrize("one", [one for one in TRACES if one.kind not in (LOAD, "y_callerid_formats")], ids=str)
    def test_what_the_crm_would_be_told_is_right_by_its_contract(
        self, amibridge: Amibridge, tmp_path: Path, one: Trace
    ) -> None:
        file = written(
            tmp_path, EXAMPLE.replace(r"^1\d\d$", r"^\d{2,5}$").replace('["PJSIP/provider", "SIP/00013*"]', "[]")
        )
        lines = amibridge("replay", "--render", "--enterprise", file, one.path).answers
        records = [line for line in lines if "request" not in line]
        external = [record for record in records if record["direction"] != "internal"]
        uploads: list[Any] = []
        called: dict[str, set[str]] = {}
        for request in (line for line in lines if "request" in line):
            if request["request"] == "POST /api/v5/telephony/calls/upload":
                assert set(request) == {"request", "calls"}
                uploads += request["calls"]
                continue
            event = request["event"]
            assert (request["request"], set(request)) == ("POST /api/v5/telephony/call/event", {"request", "event"})
            assert is_valid("CallEvent", event), event
            if event["type"] in ("in", "out"):
                people = [USERS[user] for user in event.get("userIds", [])] + event.get("codes", [])
                called.setdefault(event["callExternalId"], set()).update(people)
        assert all(is_valid("Call", call) for call in uploads), uploads
        assert [call["externalId"] for call in uploads] == [record["call_id"] for record in external]
        for record in external:
            rang = record["rang"] if record["direction"] == "incoming" else [record["caller"]]
            told_of = called.pop(record["call_id"], set())
            was_consulted = any(note.startswith("merged ") for note in record["notes"])
            assert told_of <= set(rang) if was_consulted else told_of == set(rang)
        assert called == {}
        assert "hush" not in json.dumps(lines)

    def test_facts_and_requests_may_be_asked_for_at_once(self, amibridge: Amibridge, tmp_path: Path) -> None:
        done = amibridge("replay", "--facts", "--render", "--enterprise", written(tmp_path, EXAMPLE), trace("a").path)
        assert Counter("kind" in line for line in done.answers)[True] == len(
            replay(Board("pbx1"), events_of(trace("a").path))
        )
        assert sum("request" in line for line in done.answers) == 3


class TestBadInput:
    def test_a_missing_file_is_said_and_the_others_are_read(self, amibridge: Amibridge, tmp_path: Path) -> None:
        done = amibridge("replay", tmp_path / "none.ami", trace("a").path)
        assert len(told(done, code=1)) == 1
        assert done.err == f"{tmp_path / 'none.ami'}: No such file or directory\n"

    def test_a_folder(self, amibridge: Amibridge, tmp_path: Path) -> None:
        done = amibridge("replay", tmp_path)
        assert (done.code, done.out, done.err) == (1, "", f"{tmp_path}: Is a directory\n")

    @pytest.mark.parametrize("damage", ["cut", "turned", "plain"])
    def test_damaged_packing(self, amibridge: Amibridge, tmp_path: Path, damage: str) -> None:
        packed = bytearray(gzip.compress(read_bytes(trace("a").path)))
        if damage == "turned":
            packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
        file = tmp_path / "a.ami.gz"
        if damage == "cut":
            del packed[len(packed) // 2 :]
        file.write_bytes(b"Asterisk Call Manager/11" if damage == "plain" else packed)
        done = amibridge("replay", file, trace("d").path)
        assert [record["outcome"] for record in told(done, code=1)][-1] == "missed"
        assert done.err.startswith(str(file))
        assert len(done.err.splitlines()) == 1

    def test_an_empty_file(self, amibridge: Amibridge, tmp_path: Path) -> None:
        (tmp_path / "empty.ami").touch()
        done = amibridge("replay", tmp_path / "empty.ami")
        assert (done.code, done.out) == (1, "")
        assert done.err == f"{tmp_path / 'empty.ami'}: no AMI messages in it\n"

    def test_bytes_that_are_no_ami(self, amibridge: Amibridge, tmp_path: Path) -> None:
        (tmp_path / "noise.ami").write_bytes(bytes(range(256)) * 500)
        done = amibridge("replay", tmp_path / "noise.ami")
        assert (done.code, done.out) == (1, "")
        assert done.err == f"{tmp_path / 'noise.ami'}: no AMI messages in it\n"

    def test_noise_between_messages_is_counted_and_costs_nothing(self, amibridge: Amibridge, tmp_path: Path) -> None:
        raw = read_bytes(trace("a").path)
        noisy = raw.replace(b"\r\n\r\nEvent: ", b"\r\n\r\n\xff\xfe\x00 noise\r\n\r\nEvent: ")
        (tmp_path / "noisy.ami").write_bytes(noisy)
        done = amibridge("replay", tmp_path / "noisy.ami")
        assert done.out == amibridge("replay", trace("a").path).out
        count = noisy.count(b"\xff\xfe\x00 noise")
        assert done.err == f"{tmp_path / 'noisy.ami'}: {count} messages could not be read\n"

    def test_that_dates_are_in_utc_for_want_of_a_time_zone_is_said_once(
        self, amibridge: Amibridge, tmp_path: Path
    ) -> None:
        zoned, plain = written(tmp_path, EXAMPLE), written(tmp_path, SMALLEST, "7.toml")
        words = ("replay", "--render", trace("a").path, trace("d").path)
        assert amibridge(*words, "--enterprise", zoned).err == ""
        said = "dates are in UTC: the enterprise file names no `timezone`, and no CRM is asked\n"
        assert amibridge(*words, "--enterprise", plain).err == said
        assert amibridge("replay", "--enterprise", plain, trace("a").path).err == "", "nothing is rendered"

    def test_requests_need_an_enterprise(self, amibridge: Amibridge) -> None:
        done = amibridge("replay", "--render", trace("a").path)
        assert (done.code, done.out) == (2, "")
        assert "--enterprise" in done.err

    def test_an_enterprise_file_with_mistakes(self, amibridge: Amibridge, tmp_path: Path) -> None:
        file = written(tmp_path, EXAMPLE.replace("region", "regoin"))
        done = amibridge("replay", "--enterprise", file, trace("a").path)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"amibridge: {file}, line 4: regoin: unknown key; did you mean 'region'?\n"


class TestProcess:
    """What only a process of its own shows."""

    async def test_a_run_from_the_shell(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "amibridge", "replay", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={"LC_ALL": "C", "PYTHONUTF8": "0"},
        )
        raw = read_bytes(trace("a").path).replace(b"CallerIDName: <unknown>", "CallerIDName: Анна".encode())
        out, err = await process.communicate(raw)
        [record] = told(Done(process.returncode or 0, out.decode(), err.decode()))
        assert (record["caller_name"], err) == ("Анна", b"")
        assert "Анна".encode() in out

    @pytest.mark.parametrize("words", [["--facts"], []])
    async def test_a_reader_that_leaves_is_no_mistake(self, words: list[str]) -> None:
        """`amibridge replay … | head -1`"""
        paths = [str(one.path) for one in itertools.islice(TRACES, 8)]
        gone, our_end = os.pipe()
        os.close(gone)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "amibridge", "replay", *words, *paths),
            stdout=our_end,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        os.close(our_end)
        _, err = await process.communicate()
        assert (process.returncode, err) == (141, b"")


def at_a_shell(command: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """``amibridge replay`` with redirections that only a shell makes."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {command}', "sh", sys.executable, "-m", "amibridge", "replay", *map(str, words)],
        cwd=ROOT,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_stream_that_is_closed_is_nobody() -> None:
    path = trace("a").path
    assert "Traceback" not in at_a_shell("<&-", "-").stderr
    silent = at_a_shell(">&-", path)
    assert (silent.returncode, silent.stderr) == (0, "")
    assert at_a_shell("2>&-", path).returncode == 0


def test_a_full_disk_is_not_the_fault_of_the_trace() -> None:
    full = at_a_shell(">/dev/full", trace("a").path)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "a_" not in full.stderr
    assert len(full.stderr.splitlines()) == 1


def test_nothing_steers_the_terminal(amibridge: Amibridge, tmp_path: Path) -> None:
    hostile = read_bytes(trace("a").path).replace(b"CallerIDName: ", b"CallerIDName: \xc2\x9b2J\x1b]0;x\x07")
    (path := tmp_path / "hostile.ami").write_bytes(hostile)
    done = amibridge("replay", path, tmp_path / "no\x1b[31m.ami")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.out + done.err)
    assert r"\u009b2J" in done.out
