"""Actions: what goes onto the wire cannot break out of its line, and the filter lets through what we fold."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami import actions
from amibridge.ami.actions import Action
from amibridge.ami.errors import UnsafeValue
from amibridge.ami.events import Uniqueid
from amibridge.ami.reading import READERS, MalformedMessage, parse_event
from amibridge.ami.wire import Framer
from amibridge.redact import Secret
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

UNIQUEID = Uniqueid("1795491044.482913047711")

AT_ANY_TIME = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize("broken", ["\r", "\n", "\0", "\r\nAction: Command\r\nCommand: core stop now"])
class TestWhatWouldBreakOut:
    def test_a_value(self, broken: str) -> None:
        with pytest.raises(UnsafeValue):
            Action("Ping", (("ActionID", f"1{broken}"),))

    def test_a_key(self, broken: str) -> None:
        with pytest.raises(UnsafeValue):
            Action("Ping", ((f"Key{broken}", "1"),))

    def test_a_name(self, broken: str) -> None:
        with pytest.raises(UnsafeValue):
            Action(f"Ping{broken}")

    def test_a_login(self, broken: str) -> None:
        with pytest.raises(UnsafeValue) as refused:
            actions.login("amibridge", f"s3cret{broken}")
        assert "s3cret" not in str(refused.value)

    @pytest.mark.parametrize(
        "where", ["channel", "context", "exten", "caller", "shown", "uniqueid", "variable", "value"]
    )
    def test_an_origination(self, broken: str, where: str) -> None:
        asked = {
            "channel": "PJSIP/101", "context": "from-internal", "exten": "89161112233", "caller": "101",
            "shown": "Anna", "uniqueid": UNIQUEID,
        }  # fmt: skip
        variable = {"variable": "X", "value": "1"}
        for words in (asked, variable):
            if where in words:
                words[where] += broken
        with pytest.raises(UnsafeValue):
            actions.originate(
                asked["channel"],
                context=asked["context"],
                exten=asked["exten"],
                caller=asked["caller"],
                shown=asked["shown"],
                uniqueid=Uniqueid(asked["uniqueid"]),
                variables=[(variable["variable"], variable["value"])],
            )


@given(st.text(max_size=30))
def test_whatever_is_accepted_stays_one_line(value: str) -> None:
    try:
        action = Action("UserEvent", (("Header", value),))
    except UnsafeValue:
        assert set(value) & set("\r\n\0")
    else:
        wire = "".join(f"{key}: {text}\r\n" for key, text in action.headers).encode()
        assert len(Framer().feed(wire + b"\r\n")) == 1
        assert wire.count(b"\r\n") == 1


def test_an_action_does_not_show_its_headers() -> None:
    assert "s3cret" not in repr(actions.login("amibridge", Secret("s3cret")))


@pytest.mark.parametrize("character", [",", '"', "\\", "(", ")", "[", "]", "\n", "\0"])
@pytest.mark.parametrize("where", ["exten", "caller", "shown", "value"])
def test_a_value_that_would_begin_another_variable_is_refused(character: str, where: str) -> None:
    """Asterisk splits the header as it does the arguments of an application."""
    words = dict.fromkeys(("exten", "caller", "shown", "value"), "1")
    words[where] += f"{character}OTHER=1"
    with pytest.raises(UnsafeValue):
        actions.originate(
            "PJSIP/101", context="c", exten=words["exten"], caller=words["caller"], shown=words["shown"],
            uniqueid=UNIQUEID, variables=[("ONE", words["value"])],
        )  # fmt: skip


def test_an_origination_says_all_it_must() -> None:
    action = actions.originate(
        "Local/101@from-internal/n",
        context="from-internal",
        exten="89161112233",
        caller="101",
        shown="Иван Петров",
        uniqueid=UNIQUEID,
        rings_for=timedelta(seconds=2.5),
        variables=[("ONE", "1"), ("TWO", "a=b")],
    )
    assert action.name == "Originate"
    assert action.headers == (
        ("ActionID", f"amibridge-{UNIQUEID}"),
        ("Channel", "Local/101@from-internal/n"),
        ("ChannelId", UNIQUEID),
        ("OtherChannelId", f"{UNIQUEID}2"),
        ("Context", "from-internal"),
        ("Exten", "89161112233"),
        ("Priority", "1"),
        ("Timeout", "2500"),
        ("Async", "true"),
        ("Variable", f"__AMIBRIDGE_CLICK=amibridge-{UNIQUEID}"),
        ("Variable", "CALLERID(num)=101"),
        ("Variable", "CONNECTEDLINE(num,i)=89161112233"),
        ("Variable", "CONNECTEDLINE(name,i)=Иван Петров"),
        ("Variable", "ONE=1"),
        ("Variable", "TWO=a=b"),
    )


class TestFilter:
    """Read by `re`, which agrees with POSIX extended on what these expressions use."""

    FILTER = re.compile(actions.event_filter())

    def passes(self, raw: bytes) -> bool:
        text = raw.decode("utf-8", "replace") + "\r\n"
        return self.FILTER.search(text) is not None

    @pytest.mark.slow
    @pytest.mark.parametrize("trace", TRACES, ids=str)
    def test_it_lets_through_what_we_fold_and_nothing_else(self, trace: Trace) -> None:
        for raw in Framer().feed(read_bytes(trace.path)):
            if not raw.startswith(b"Event: ") or b"Asterisk Call Manager/" in raw:
                continue
            try:
                folded = parse_event(raw, AT_ANY_TIME) is not None
            except MalformedMessage:
                folded = True
            assert self.passes(raw) == folded, raw[:60]

    def test_it_uses_only_what_posix_extended_has(self) -> None:
        assert not re.search(r"\\|\(\?|\*\?|\+\?|\{", actions.event_filter())

    def test_it_fits_into_a_line_of_asterisk(self) -> None:
        """`manager.c` reads a line of an action into 1024 bytes and cuts what is longer."""
        assert len(f"Filter: {actions.event_filter()}\r\n") < 1024

    @pytest.mark.parametrize("name", ["HangupHandlerRun", "NewchannelX", "XHangup", "Cdr", "NewConnectedLine"])
    def test_a_longer_name_is_another_event(self, name: str) -> None:
        assert not self.passes(f"Event: {name}\r\nPrivilege: call,all".encode())

    def test_every_event_we_fold_is_named(self) -> None:
        for name in READERS:
            if name != b"VarSet":
                assert self.passes(b"Event: " + name)

    def test_a_variable_with_a_longer_name_is_another_one(self) -> None:
        assert self.passes(b"Event: VarSet\r\nVariable: MIXMONITOR_FILENAME\r\nValue: x")
        assert not self.passes(b"Event: VarSet\r\nVariable: MIXMONITOR_FILENAMES\r\nValue: x")
        assert not self.passes(b"Event: VarSet\r\nVariable: __MIXMONITOR_FILENAME\r\nValue: x")
