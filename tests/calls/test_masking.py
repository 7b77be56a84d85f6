"""A masked trace: nobody's number or name is in it, and it tells the same story of others."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami.session import Reply, Session
from amibridge.ami.transcript import ended
from amibridge.ami.wire import Framer
from amibridge.calls.board import Board
from amibridge.calls.facts import CallEnded
from amibridge.calls.masking import Mask
from amibridge.calls.numbering import Numbering
from amibridge.calls.phones import to_e164
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

KEY = b"a key for the tests"
HEADER = re.compile(rb"\r\n[A-Za-z]*(?:CallerIDNum|ConnectedLineNum|Exten|CallerIDani|CallerIDdnid): ([^\r\n]*)")


def masked(raw: bytes, mask: Mask | None = None) -> bytes:
    mask = mask or Mask(Numbering(), KEY)
    return ended(mask.message(message) for message in Framer().feed(raw))


def records_in(raw: bytes) -> list[dict[str, Any]]:
    board, records = Board("pbx"), []
    for received in Session().receive_data(raw):
        if not isinstance(received, Reply):
            records += [fact.record for fact in board.apply(received) if isinstance(fact, CallEnded)]
    return [record.as_json() for record in [*records, *board.live_calls()]]


def as_masked(record: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """The record of the same call with other people."""

    def number(text: str | None) -> str | None:
        return None if text is None else mask.number(text)

    return record | {
        "external_number": number(record["external_number"]),
        "phone": number(record["phone"]),
        "line": number(record["line"]),
        "rang": [number(one) for one in record["rang"]],
        "operators": [number(one) for one in record["operators"]],
        "recordings": [mask.text(path) for path in record["recordings"]],
        "transfers": [one | {"from": number(one["from"]), "to": number(one["to"])} for one in record["transfers"]],
    }


def public_numbers(raw: bytes) -> set[bytes]:
    """The digits of all numbers that are no extensions, also of their national part."""
    found = {re.sub(rb"\D", b"", value.partition(b";")[0].partition(b"@")[0]) for value in HEADER.findall(raw)}
    whole = {digits for digits in found if len(digits) >= 7}
    return whole | {digits[-10:] for digits in whole if len(digits) > 10}


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_a_masked_trace_tells_the_same_of_others_and_holds_nobodys_number(trace: Trace) -> None:
    raw, mask = read_bytes(trace.path), Mask(Numbering(), KEY)
    other = masked(raw, mask)
    told, wanted = records_in(other), records_in(raw)
    names = [(one.pop("caller_name"), other.pop("caller_name")) for one, other in zip(wanted, told, strict=True)]
    assert told == [as_masked(record, mask) for record in wanted]
    assert all(other is None if name is None else re.fullmatch(r"Name \d+", other) for name, other in names)
    assert len(set(names)) == len({name for name, _ in names}) == len({other for _, other in names})
    assert [record["phone"] is None for record in told] == [record["phone"] is None for record in wanted]
    numbers = public_numbers(raw)
    assert len(numbers) >= (0 if trace.kind == "m_internal_answered" else 1)
    runs = set(re.findall(rb"\d{7,}", re.sub(rb"\d{10}\.\d+", b"", other)))
    leaks = {number for number in numbers for run in runs if number in run and (len(number) > 8 or number == run)}
    assert leaks == set()
    shown = set(re.findall(rb"\r\n\w*(?:CallerIDName|ConnectedLineName): ([^<\r\n][^\r\n]{2,})", raw))
    assert {name for name in shown if re.search(rb"[A-Za-z\x80-\xff]", name) and name in other} <= {b"Anonymous"}


class TestNumbers:
    @pytest.mark.parametrize(
        "spellings",
        [
            ["+79161234567", "79161234567", "89161234567", "9161234567", "8 916 123-45-67", "+7 (916) 123-45-67"],
            ["+375291234567", "375291234567", "80291234567", "810375291234567", "+375 29 123-45-67"],
            ["+74951110001", "84951110001", "4951110001", "1110001", "111-00-01"],
            ["+442079460958", "00442079460958", "810442079460958"],
        ],
    )
    def test_one_number_is_one_other_number_however_it_is_spelt(self, spellings: list[str]) -> None:
        mask = Mask(Numbering(), KEY)
        others = [mask.number(one) for one in spellings]
        for one, other in zip(spellings, others, strict=True):
            assert other != one
            assert re.sub(r"\d", "0", other) == re.sub(r"\d", "0", one)
            assert (to_e164(other, "RU") is None) == (to_e164(one, "RU") is None)
        assert len({re.sub(r"\D", "", other)[-7:] for other in others}) == 1
        assert {to_e164(other, "RU") for other in others} - {None} == {to_e164(others[0], "RU")}

    def test_two_numbers_are_two(self) -> None:
        mask = Mask(Numbering(), KEY)
        numbers = [f"+7916{number:07}" for number in range(0, 10_000, 7)]
        assert len({mask.number(one) for one in numbers}) == len(numbers)

    def test_country_and_code_stay(self) -> None:
        mask = Mask(Numbering(), KEY)
        assert mask.number("+79161234567").startswith("+7916")
        assert mask.number("+375291234567").startswith("+37529")

    @pytest.mark.parametrize("number", ["101", "99999", "*8", "", "<unknown>", "anonymous", "s", "112", "10.0.0.155"])
    def test_what_is_nobodys_stays(self, number: str) -> None:
        assert Mask(Numbering(), KEY).number(number) == number

    def test_extensions_are_what_the_host_says(self) -> None:
        assert Mask(Numbering(r"^\d{7}$"), KEY).number("1234567") == "1234567"
        assert Mask(Numbering(r"^1\d\d$"), KEY).number("123456") != "123456"

    def test_another_key_makes_other_numbers(self) -> None:
        numbers = {Mask(Numbering(), key).number("+79161234567") for key in (b"1", b"2", b"3")}
        assert len(numbers) == 3

    @pytest.mark.parametrize(
        "text",
        [
            "PJSIP/{}@trunk,20,tT",
            "/var/spool/asterisk/monitor/20261124-034058-in-{}-1795491044.6.wav",
            "sip:{}@10.0.0.5:5060;user=phone",
            "Local/{}@from-internal-0000001a;1",
            "SIP/{}-0000012f",
            "sub-rec,s,1(in,{})",
            '{{"dialed":"{}"}}',
        ],
    )
    @pytest.mark.parametrize("number", ["79161234567", "+79161234567", "89161234567"])
    def test_wherever_it_stands(self, text: str, number: str) -> None:
        mask = Mask(Numbering(), KEY)
        other = mask.number(number)
        assert mask.text(text.format(number)) == text.format(other)

    @pytest.mark.parametrize(
        "text",
        [
            "1795491044.6", "[C-00000012]", "PJSIP/101-00000123", "Local/101@from-internal-12345678;2",
            "20261124-034058",
            "227e6c9f-2a37-4038-906e-123456789012", "rtt=0.001234;rxjitter=12.123456", "PJSIP/101&PJSIP/102,20",
        ],
    )  # fmt: skip
    def test_what_is_no_number_stays(self, text: str) -> None:
        assert Mask(Numbering(), KEY).text(text) == text

    @given(st.text(max_size=60))
    def test_whatever_the_text_is(self, text: str) -> None:
        mask = Mask(Numbering(), KEY)
        for way in (mask.text, mask.number, mask.name):
            assert way(text) == way(text)


class TestNames:
    def test_a_name_is_a_number_in_order(self) -> None:
        mask = Mask(Numbering(), KEY)
        assert [mask.name(one) for one in ("Анна", "Борис", "Анна", "<unknown>", "101", "")] == [
            "Name 1", "Name 2", "Name 1", "<unknown>", "101", "",
        ]  # fmt: skip

    def test_a_name_that_is_a_number_is_that_number(self) -> None:
        mask = Mask(Numbering(), KEY)
        assert mask.name("+79161234567") == mask.number("+79161234567")

    def test_in_free_text_near_it_and_not_where_the_pbx_names_its_own_things(self) -> None:
        lines = [
            "Event: Newexten",
            "Channel: PJSIP/trunk-0000001a",
            "CallerIDNum: +7 (916) 123-45-67",
            "CallerIDName: trunk",
            "Context: from-trunk",
            'AppData: call from "trunk" <+7 (916) 123-45-67> by trunks',
            "Uniqueid: 1795491044.6",
        ]
        mask = Mask(Numbering(), KEY)
        other = mask.message("\r\n".join(lines).encode()).decode()
        number = mask.number("+7 (916) 123-45-67")
        assert f'AppData: call from "Name 1" <{number}> by trunks' in other
        assert "Channel: PJSIP/trunk-0000001a\r\n" in other
        assert "Context: from-trunk\r\n" in other
        assert "Uniqueid: 1795491044.6" in other

    @pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
    def test_in_either_encoding(self, encoding: str) -> None:
        raw = (
            b"Event: Newchannel\r\nCallerIDName: "
            + "Анна".encode(encoding)
            + b'\r\nCallerID: "'
            + ("Анна".encode(encoding) + b'" <89161234567>')
        )
        other = Mask(Numbering(), KEY).message(raw)
        assert "Анна".encode(encoding) not in other
        assert b'CallerID: "Name 1" <8916' in other

    @pytest.mark.parametrize("variable", ["CALLERID(name)", "__CALLERID(name)", "CALLERID(num)", "FROM_DID"])
    def test_in_variables_that_hold_them(self, variable: str) -> None:
        value = "Анна" if "name" in variable else "8 916 123-45-67"
        raw = f"Event: VarSet\r\nVariable: {variable}\r\nValue: {value}".encode()
        assert value.encode() not in Mask(Numbering(), KEY).message(raw)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are(noise: bytes) -> None:
    mask = Mask(Numbering(), KEY)
    assert isinstance(mask.message(b"Event: Newchannel\r\nCallerIDName: x\r\n" + noise), bytes)
    json.dumps(mask.text(noise.decode("latin-1")))
