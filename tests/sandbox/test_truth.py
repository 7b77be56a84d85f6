"""What the demo holds a CRM's history against: every way in which it can be wrong is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amibridge.calls.record import Extension
from amibridge.sandbox.crm_account import CrmAccount, StoredCall
from amibridge.sandbox.library import demo_traces
from amibridge.sandbox.shops import SHOPS
from amibridge.sandbox.truth import TrueCall, differences, played_calls, true_calls
from tests.sandbox.crm_asker import romashka

BEGAN = datetime(2026, 11, 24, 9, 15, 7, tzinfo=UTC)

ANSWERED = TrueCall("a", "in", "answered", "+79161234567", "74951110001", Extension("101"), waited=1.56, talked=3.0)
MISSED = TrueCall("d", "in", "no answer", "+79161234567", "74951110001", None, waited=3.01, talked=0.0)
PLACED = TrueCall("k", "out", "busy", "+79161112233", "74951110000", Extension("102"), waited=1.01, talked=0.0)
WANTED = (ANSWERED, MISSED, PLACED)


def stored(call: TrueCall, at: datetime = BEGAN) -> StoredCall:
    """As a bridge that makes no mistakes uploads it."""
    return StoredCall(
        received_at=at,
        date=at,
        kind="in" if call.kind == "in" else "out",
        phone=call.phone,
        result=call.result,
        external_id=f"pbx1:{int(at.timestamp())}.6",
        duration=round(call.talked),
        duration_waiting=round(call.waited),
        code=call.extension,
        user_id=None,
        record_url=None,
        external_phone=call.line,
        site=None,
        client_id=None,
        source={},
    )


HISTORY = [stored(call, BEGAN + timedelta(seconds=10 * number)) for number, call in enumerate(WANTED)]


def found(history: list[StoredCall]) -> list[str]:
    return differences(history, CrmAccount(romashka()), WANTED)


def test_a_history_with_every_call_once_has_no_differences() -> None:
    assert found(HISTORY) == []
    assert found(HISTORY[::-1]) == []


@pytest.mark.parametrize("number", range(3))
def test_a_missing_call_is_named(number: int) -> None:
    [difference] = found([call for at, call in enumerate(HISTORY) if at != number])
    assert difference == f"missing: {WANTED[number]}"
    assert WANTED[number].trace in difference


def test_a_doubled_call_is_named() -> None:
    again = replace(HISTORY[0], external_id=HISTORY[0].external_id.replace(".6", ".7"))
    [difference] = found([*HISTORY, again])
    assert difference.startswith(f"too much: {again.external_id}: in +79161234567 answered, line 74951110001, 101,")


WRONG: dict[str, Callable[[StoredCall], StoredCall]] = {
    "direction": lambda call: replace(call, kind="out"),
    "result": lambda call: replace(call, result="no answer"),
    "number": lambda call: replace(call, phone="+79161112233"),
    "line": lambda call: replace(call, external_phone="74951110002"),
    "no line": lambda call: replace(call, external_phone=None),
    "operator": lambda call: replace(call, code="102"),
    "nobody": lambda call: replace(call, code=None),
    "another's user": lambda call: replace(call, code=None, user_id=31),
    "waited longer": lambda call: replace(call, duration_waiting=3),
    "did not wait": lambda call: replace(call, duration_waiting=None),
    "talked longer": lambda call: replace(call, duration=5),
    "did not talk": lambda call: replace(call, duration=None),
    "dated by its end": lambda call: replace(call, date=call.date + timedelta(seconds=4)),
    "dated in another zone": lambda call: replace(call, date=call.date - timedelta(hours=3)),
    "an id of no channel": lambda call: replace(call, external_id="pbx1:unknown"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_missing_and_too_much(change: Callable[[StoredCall], StoredCall]) -> None:
    wrong = change(HISTORY[0])
    missing, extra = found([wrong, *HISTORY[1:]])
    assert missing == f"missing: {ANSWERED}"
    assert extra.startswith(f"too much: {wrong.external_id}: ")


def test_what_rounding_does_is_not_wrong() -> None:
    near = replace(HISTORY[0], duration=4, duration_waiting=1, date=BEGAN + timedelta(seconds=1))
    assert found([near, *HISTORY[1:]]) == []


def test_an_operator_may_be_named_by_user_or_by_extension() -> None:
    assert found([replace(HISTORY[0], code=None, user_id=27), *HISTORY[1:]]) == []


def test_an_outgoing_call_may_have_taken_no_line_yet() -> None:
    assert found([*HISTORY[:2], replace(HISTORY[2], external_phone=None)]) == []
    assert len(found([*HISTORY[:2], replace(HISTORY[2], external_phone="74951110001")])) == 2


def test_two_alike_are_wanted_twice() -> None:
    account, pair = CrmAccount(romashka()), [ANSWERED, ANSWERED]
    assert differences([HISTORY[0]], account, pair) == [f"missing: {ANSWERED}"]
    assert differences([HISTORY[0], replace(HISTORY[0], external_id="pbx1:1795511707.9")], account, pair) == []


class TestTruthFiles:
    def test_every_shop_wants_what_its_phones_said(self) -> None:
        told = [len(true_calls(shop.traces(), shop.region)) for shop in SHOPS]
        played = [played_calls(shop.traces()) for shop in SHOPS]
        # 19 calls of the first PBX, one of them internal, and two of the chan_sip one.
        assert (played, told) == ([21, 1], [20, 1])

    def test_every_trace_is_played_for_exactly_one_shop(self) -> None:
        played = [trace for shop in SHOPS for trace in shop.traces()]
        assert sorted(played) == sorted(trace for traces in demo_traces().values() for trace in traces)

    def test_each_kind_of_call_is_wanted_as_it_was(self) -> None:
        calls = {call.trace.partition("_")[0]: call for call in true_calls(SHOPS[0].traces()[:19], "RU")}
        wanted = {
            "a": ("in", "answered", "+79161234567", "74951110001", "101"),
            "c": ("in", "no answer", "+79161234567", "74951110009", None),
            "i": ("in", "answered", "+79161234567", "74951110004", "102"),
            "l1": ("out", "busy", "+79161112233", "74951110000", "101"),
            "l2": ("out", "no answer", "+79161112233", "74951110000", "101"),
            "l4": ("out", "no answer", "+79161112233", "74951110000", "101"),
            "p1": ("out", "answered", "+79161112233", "74951110000", "101"),
        }
        told = {name: calls[name] for name in wanted}
        assert {
            name: (call.kind, call.result, call.phone, call.line, call.extension) for name, call in told.items()
        } == wanted
        assert (calls["i"].waited, calls["i"].talked) == pytest.approx((6.08, 3.0), abs=0.05)
        assert (calls["l2"].waited, calls["l2"].talked) == pytest.approx((12.0, 0.0), abs=0.05)
        assert "m" not in calls

    def test_a_withheld_number_is_wanted_as_the_contract_can_say_it(self, tmp_path: Path) -> None:
        said = {"direction": "incoming", "disposition": "missed", "external_number": "anonymous", "did": "1"}
        told = {**said, "caller": None, "answered_by": None, "start": 1, "answer": None, "hangup": 3, "talk_s": 0}
        (tmp_path / "x.truth.json").write_text(json.dumps({"calls": [told]}), encoding="utf-8")
        [call] = true_calls([tmp_path / "x.ami"], "RU")
        assert (call.phone, call.waited) == ("0", 2.0)
