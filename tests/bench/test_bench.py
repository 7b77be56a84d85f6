"""The benches count every event, every call and every popup. How long anything took is no test's business."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from amibridge.ami.reading import READERS
from amibridge.ami.session import Reply, Session
from amibridge.calls.board import Board
from amibridge.calls.facts import AnyFact
from amibridge.sandbox.library import TRACES
from amibridge.sandbox.pbx_score import read_score
from bench import click, drain, fuzz, hour, lateness, mix, parse, popup, report, responsible, soak, web
from bench.__main__ import main
from bench.crm import Ring

QUEUE = TRACES / "asterisk22" / "i_queue_second_member.ami"
DIRECT = "a_inbound_answered_caller_hangup"


def named(trace: Path, *names: str) -> int:
    """How many events of these names are in the trace; of any name without."""
    wanted = "|".join(names) if names else r"\w+"
    return len(re.findall(rf"^Event: (?:{wanted})\r$".encode(), trace.read_bytes(), re.MULTILINE))


def pieces(trace: Path, size: int) -> list[bytes]:
    content = trace.read_bytes()
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [700, parse.CHUNK])
def test_panoramisk_is_handed_every_event_it_subscribed_to(size: int) -> None:
    assert parse.panoramisk(pieces(QUEUE, size)) == named(QUEUE, *parse.SUBSCRIPTIONS) > 100


def test_what_panoramisk_is_asked_for_we_fold() -> None:
    assert len(set(parse.SUBSCRIPTIONS)) == 12
    assert {name.encode() for name in parse.SUBSCRIPTIONS} <= READERS.keys()


@pytest.mark.slow
def test_parse_reports_each_client_on_each_stream() -> None:
    streams = [QUEUE, TRACES / "asterisk22" / f"{DIRECT}.ami"]
    rows = list(parse.measure(streams, rounds=2, least=0))
    assert [(row.stream, row.client) for row in rows] == [
        (f"asterisk22/{stream.stem}", client) for stream in streams for client in parse.CLIENTS
    ]
    for row in rows:
        replies = 2  # to the login and to the logoff of whoever recorded it
        assert row.events == named(TRACES / f"{row.stream}.ami") + replies
        assert 0 < row.delivered < row.events
        assert (row.speedup == 1) is (row.client == "panoramisk")
    assert len(report.parse_lines(rows)) == len(rows) + 3


@pytest.mark.slow
def test_a_client_that_breaks_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="panoramisk ended with exit code 1"):
        list(parse.measure([tmp_path / "missing.ami"], rounds=1, least=0))


@pytest.mark.system
@pytest.mark.slow
async def test_popup_counts_every_call_and_loses_none(server: str) -> None:
    rows = [row async for row in popup.measure([4], seconds=2, warm_up=0, repertoire=[DIRECT], dsn=server)]
    (row,) = rows
    assert row.enterprises == 2
    assert (row.calls, row.popups, row.lost, row.history) == (8, 8, 0, 8)
    assert row.events == 8 * len(read_score(TRACES / "asterisk22" / f"{DIRECT}.ami").notes)
    times = [row.p50, row.p90, row.p99, row.longest]
    assert times == sorted(time for time in times if time is not None and time > 0)
    assert re.fullmatch(r"popups measured, lost +8, 0 +lost 0", report.popup_lines(rows)[4])
    assert json.loads(report.as_json(report.this_machine(), {"popup": rows}))["popup"][0]["lost"] == 0


@pytest.mark.system
@pytest.mark.slow
async def test_click_places_each_call(server: str) -> None:
    [row] = [row async for row in click.measure([5], 20, repertoire=[DIRECT], dsn=server)]
    assert (row.clicks, row.lost) == (20, 0)
    times = [row.originate_p50, row.originate_p99, row.originate_longest]
    assert times == sorted(time for time in times if time is not None and time > 0)
    assert re.fullmatch(r"clicks placed, lost +20, 0 +lost 0", report.click_lines([row])[2])


async def test_responsible_asks_each_question_and_knows_a_right_answer(server: str) -> None:
    rows = await responsible.measure(20, dsn=server)
    assert [row.answers for row in rows] == [responsible.STRANGERS, 20, 20, 20]
    assert rows[0].wrong == 0
    # In time or not is the machine's affair; what was answered right was told by the bridge alone.
    assert all(row.wrong < row.answers for row in rows)
    assert len(report.responsible_lines(rows)) == 6
    assert len(json.loads(report.as_json(report.this_machine(), {"responsible": rows}))["responsible"]) == 4


@pytest.mark.system
@pytest.mark.slow
async def test_web_asks_all_there_is_to_ask_and_hears_of_every_event(server: str) -> None:
    rows = await web.measure(25, 8, enterprises=3, calls=600, call_rate=1, warm_up=0, dsn=server)
    everything, *kinds, town = rows
    assert isinstance(town, web.TownRow)
    assert (town.wrong, town.kinds_of_wrong) == (0, [])
    answers = {row.kind: row.answers for row in (everything, *kinds) if isinstance(row, web.AnswersRow)}
    assert answers.pop(web.ALL) == sum(answers.values()) == town.asked >= 200
    assert {"calls, newest", "calls, filtered", "one call", "responsible", "refused", mix.METRICS} <= answers.keys()
    assert town.placed == town.clicks
    assert town.heard == town.events > 100
    assert (town.popups > 0, town.lost) == (True, 0)
    assert 0 < (town.late_p50 or 0) <= (town.late_p99 or 0) <= (town.latest or 0)
    told = report.web_lines(rows)
    assert any(re.fullmatch(r"questions, wrong answers +\d+, 0 +wrong 0", line) for line in told)


@pytest.mark.system
@pytest.mark.slow
async def test_an_hour_becomes_mp3_while_the_loop_is_looked_at(server: str) -> None:
    row = await hour.measure(2, looked_for=6, dsn=server)
    assert (row.minutes, row.seconds > 0, row.looks > 0) == (2, True, True)
    assert 0 < (row.look_p99 or 0) <= (row.look_longest or 0)
    assert len(report.web_lines([row])) == 10


def test_an_event_says_when_it_was_written_and_no_more_what_asterisk_said() -> None:
    event = b"Event: Hangup\r\nPrivilege: call,all\r\nTimestamp: 1795491091.070572\r\nCause: 16\r\n\r\n"
    said = lateness.stamped(event)
    assert re.sub(rb"\d{10}\.\d{6}", b"", said) == (
        b"Event: Hangup\r\nWritten: \r\nPrivilege: call,all\r\nCause: 16\r\n\r\n"
    )


def test_a_popup_that_never_came_is_lost_and_one_of_the_warm_up_is_not_counted() -> None:
    twice, never = Ring("pbx0:1.1", "101"), Ring("pbx0:1.2", "102")
    sent = {twice: [9.0, 11.0, 12.0], never: [13.0]}
    opened = {twice: [9.5, 11.25]}
    assert popup.latencies(sent, opened, since=10.0) == ([250.0], 2)


@pytest.mark.parametrize(("percent", "found"), [(50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)])
def test_a_percentile_is_a_latency_that_was_measured(percent: int, found: float) -> None:
    assert popup.percentile([1.0, 2.0, 3.0, 4.0], percent) == found
    assert popup.percentile([], percent) is None


@pytest.mark.system
@pytest.mark.slow
async def test_drain_tells_every_call_that_waited(server: str) -> None:
    [row] = [row async for row in drain.measure(history=120, dsn=server, besides=())]
    assert isinstance(row, drain.DrainRow)
    assert (row.calls, row.telephony > 3) == (120, True)
    beside = drain.BesideRow("nobody who waits", 10, 0, 2.0, 3.0, 4.0)
    assert report.drain_lines([row, beside, replace(beside, p50=3.0)])[-1].endswith(" 1.50")


def test_the_busiest_second_begins_anywhere() -> None:
    assert drain.busiest([0.0, 0.5, 0.9, 1.2, 1.4, 1.6, 3.0]) == 4
    assert drain.busiest([]) == 0


def test_soak_plays_calls_of_their_own_and_the_board_forgets_them() -> None:
    rows = list(soak.measure(2_000, QUEUE))
    assert [(row.events, row.calls) for row in rows] == [(number * 200, number) for number in range(1, 11)]
    assert len({row.remembered for row in rows}) == 1, "the last call, whichever it is"


@pytest.mark.slow
def test_no_mutant_makes_the_core_raise_or_speak_twice() -> None:
    rows = list(fuzz.measure(40_000, seed=1))
    assert [row.messages for row in rows] == [number * 4_000 for number in range(1, 11)]
    last = rows[-1]
    assert last.garbled > 1_000
    assert last.facts > 1_000, "or nothing was tried: calls must come to be"
    assert max(row.remembered for row in rows) < 5_000


def test_a_call_that_speaks_after_its_end_is_heard() -> None:
    ear = fuzz.Ear()
    [*facts] = replay_of(QUEUE)
    for fact in facts:
        ear.hear(fact)
    assert ear.live == set()
    with pytest.raises(fuzz.SaidWrongly, match="not live"):
        ear.hear(facts[-1])
    ear.hear(facts[0])
    with pytest.raises(fuzz.SaidWrongly, match="live"):
        ear.hear(facts[0])


def test_the_same_seed_gives_the_same_mutants() -> None:
    one, two, other = (fuzz.mutants(random.Random(seed), [QUEUE]) for seed in (7, 7, 8))
    taken = [list(islice(stream, 500)) for stream in (one, two, other)]
    assert taken[0] == taken[1] != taken[2]


def replay_of(trace: Path) -> list[AnyFact]:
    session, board = Session(), Board("pbx")
    received = session.receive_data(trace.read_bytes())
    return [fact for one in received if not isinstance(one, Reply) for fact in board.apply(one)]


@pytest.mark.parametrize(
    ("word", "said"),
    [("pars", "there are parse, popup, click, drain, responsible, web, soak, fuzz"), ("--round", "--round")],
)
def test_an_unknown_word_is_refused(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([word])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
