"""Folders that never answer: a mount whose server is gone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from amibridge.recordings.disk import AT_ONCE, Disk, DiskBusy
from tests.delivery.waiting import until
from tests.house.source import ROOT

SHORT, LONG = timedelta(milliseconds=20), timedelta(seconds=30)


async def test_an_answer_and_a_failure_come_back() -> None:
    disk = Disk()
    assert await disk.ask("/rec", lambda: 7, within=LONG) == 7
    with pytest.raises(FileNotFoundError):
        await disk.ask("/rec", lambda: open("/no/such/file"), within=LONG)  # noqa: SIM115


async def test_a_folder_that_is_dead_keeps_a_few_threads_and_no_other_folder_waiting() -> None:
    disk, alive, begun = Disk(), threading.Event(), list[int]()

    def question() -> int:
        begun.append(1)
        alive.wait()
        return 1

    for _ in range(2 * AT_ONCE):
        with pytest.raises(DiskBusy, match="/dead does not answer"):
            await disk.ask("/dead", question, within=SHORT)
    assert len(begun) == AT_ONCE
    assert await disk.ask("/rec", lambda: 7, within=LONG) == 7
    alive.set()
    assert await disk.ask("/dead", lambda: 8, within=LONG) == 8


async def test_what_comes_when_nobody_listens_any_more_is_closed() -> None:
    disk, alive, closed = Disk(), threading.Event(), list[str]()

    def question() -> str:
        alive.wait()
        return "an open file"

    with pytest.raises(DiskBusy):
        await disk.ask("/dead", question, within=SHORT, unwanted=closed.append)
    alive.set()
    await until(lambda: closed == ["an open file"])


async def test_who_waits_for_a_place_gets_it() -> None:
    disk, alive = Disk(), threading.Event()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(disk.ask("/rec", alive.wait, within=LONG)) for _ in range(2 * AT_ONCE)]
        await until(lambda: "/rec" in disk._places and disk._places["/rec"].locked())
        alive.set()
    assert all(one.result() for one in asked)


def test_a_question_without_an_answer_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from contextlib import suppress
from datetime import timedelta
from amibridge.recordings.disk import Disk, DiskBusy

async def main():
    with suppress(DiskBusy):
        await Disk().ask("/dead", threading.Event().wait, within=timedelta(seconds=0.1))

with asyncio.Runner() as runner:
    runner.run(main())
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=30)
