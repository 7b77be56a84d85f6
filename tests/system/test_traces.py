"""The last hours of bytes, kept by a daemon that runs, stops or is killed, and asked for by somebody beside it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

from amibridge.sandbox.pbx import SandboxPbx
from amibridge.sandbox.retailcrm import SandboxCrm
from tests.corpus import TRACES
from tests.delivery.waiting import until
from tests.system.bridge import Bridge, enterprise_file
from tests.system.test_straight_line import KEY, account, pbx_of

KINDS = ("a_inbound_answered_caller_hangup", "h_ringgroup_102_answers", "o1_attended_refer_replaces")
CALLS = [trace for trace in TRACES if trace.stack == "asterisk22" and trace.kind in KINDS]


def ring(bridge: Bridge) -> Path:
    return bridge.folder / "state" / "traces" / "0123" / "pbx1"


def ended(bridge: Bridge) -> list[str]:
    return [line["call"] for line in bridge.log("call_ended")]


async def told_of(bridge: Bridge, *words: str) -> list[dict[str, Any]]:
    """The records in what `amibridge replay` reads."""
    code, out, err = await bridge.command("replay", "--host", "pbx1", *words)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


async def captured(bridge: Bridge, call: str, file: Path) -> list[dict[str, Any]]:
    code, out, err = await bridge.command(
        "capture", "--config", str(bridge.config), "--call", call, "-o", str(file), "--force"
    )
    assert (code, out) == (0, ""), err
    return await told_of(bridge, str(file))


async def play(bridge: Bridge, pbx: SandboxPbx, crm: SandboxCrm) -> list[str]:
    """The ids of all calls, once they are over."""
    async with crm.serve() as url, pbx.serve() as address:
        await bridge.start()
        await bridge.apply(enterprise_file("0123", crm_url=url, api_key=KEY, hosts={"pbx1": address}))
        await pbx.played()
        await until(lambda: len(ended(bridge)) + len(bridge.log("call_merged")) >= 4)
    return ended(bridge)


async def test_each_call_can_be_cut_out_while_the_daemon_runs_after_its_stop_and_without_the_database(
    bridge: Bridge, tmp_path: Path
) -> None:
    calls = await play(bridge, pbx_of(CALLS, lost=False), SandboxCrm([account()]))
    wanted = {one["call_id"]: one for trace in CALLS for one in await told_of(bridge, str(trace.path))}
    assert set(calls) == set(wanted)
    file = tmp_path / "odd.ami"
    code, out, _ = await bridge.command("capture", "--config", str(bridge.config), "pbx1", "--call", calls[0])
    assert (code == 0) == bool(out)
    bridge.send_signal(signal.SIGTERM)
    assert await bridge.ended() == 0
    bridge.config.write_text(bridge.config.read_text().replace('dsn = "', 'dsn = "postgresql://127.0.0.1:1/gone?x='))
    for call in calls:
        assert await captured(bridge, call, file) == [wanted[call]]
    [piece] = ring(bridge).glob("*.ami.gz")
    assert {one["call_id"] for one in await told_of(bridge, str(piece))} == set(calls)
    assert bridge.log("traces_not_written") == []


async def test_a_folder_that_is_taken_away_costs_no_call(bridge: Bridge) -> None:
    state = bridge.folder / "state"
    state.mkdir()
    (state / "traces").write_text("no folder")
    calls = await play(bridge, pbx_of(CALLS, lost=False), SandboxCrm([account()]))
    await until(lambda: len(bridge.log("traces_not_written")) == 1)
    (state / "traces").unlink()
    await until(lambda: len(bridge.log("traces_written_again")) == 1)
    assert bridge.log("traces_written_again", bytes_lost=0)
    await until(lambda: any(ring(bridge).glob("*.ami.gz")))
    shutil.rmtree(state / "traces")
    bridge.send_signal(signal.SIGTERM)
    assert await bridge.ended() == 0
    assert len(bridge.log("traces_not_written")) == 1
    assert len(calls) >= 3
