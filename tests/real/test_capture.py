"""What is captured of a real Asterisk tells what happened there, whole, cut and masked."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from amibridge.ami.cutting import cut_call
from amibridge.ami.session import Reply, Session
from amibridge.ami.transcript import ended
from amibridge.ami.wire import Framer
from amibridge.calls.board import Board
from amibridge.calls.facts import CallEnded
from amibridge.calls.masking import Mask
from amibridge.calls.numbering import Numbering
from tests.cli.capturing import capturing
from tests.cli.enterprise_files import SMALLEST, written
from tests.delivery.waiting import until
from tests.real.office import Office, hangs_up, moment


def records_in(raw: bytes) -> list[dict[str, Any]]:
    board = Board("pbx")
    facts = [fact for one in Session().receive_data(raw) if not isinstance(one, Reply) for fact in board.apply(one)]
    return [fact.record.as_json() for fact in facts if isinstance(fact, CallEnded)]


async def test_two_calls_at_once(office: Office, tmp_path: Path) -> None:
    """One begins before the capture does, and is known from the snapshot."""
    host, file = office.asterisk.address, tmp_path / "now.ami"
    text = SMALLEST.replace("pbx.example.com", host).replace("hush-secret", "secret").replace("amibridge", "all")
    customer, anna = await office.talking()
    async with capturing("--enterprise", written(tmp_path, text), "-o", file) as capture:
        await until(lambda: file.exists() and b"CoreShowChannelsComplete" in file.read_bytes())
        called, boris = office.phones["102"].call("89161112233"), await office.outside.is_called()
        await moment()
        boris.answer()
        await moment()
        await hangs_up(customer, anna)
        await hangs_up(called, boris)
        heard = await office.records(2)
        await until(lambda: len(records_in(file.read_bytes())) == 2)
        capture.process.send_signal(signal.SIGINT)
        assert (await capture.ended())[0] == 0
    raw = file.read_bytes()
    told, by_id = records_in(raw), {record.call_id: record.as_json() for record in heard}
    assert [record["complete"] for record in told] == [False, True]
    for record in told:
        whole = by_id[record["call_id"]]
        for name in ("direction", "outcome", "external_number", "operators", "ended_at", "hangup_by"):
            assert record[name] == whole[name], name
        if record["complete"]:
            assert record == whole
        messages = Framer().feed(raw)
        piece = cut_call(messages, record["call_id"].partition(":")[2].encode())
        assert records_in(ended(piece)) == [record]
        assert len(piece) < len(messages)
        mask = Mask(Numbering(), b"a key")
        [other] = records_in(ended(map(mask.message, piece)))
        assert (other["started_at"], other["operators"]) == (record["started_at"], record["operators"])
        assert record["external_number"].encode()[-7:] not in ended(map(mask.message, piece))
