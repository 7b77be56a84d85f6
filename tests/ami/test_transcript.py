"""What is kept of a conversation: nothing is lost but secrets, and each event has a time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami.session import Reply, Session
from amibridge.ami.transcript import HIDDEN, Transcript, ended
from amibridge.ami.wire import MAX_UNFINISHED
from amibridge.calls.board import Board, replay
from tests.ami.pieces import in_sizes
from tests.calls.truth import read_bytes
from tests.corpus import TRACES, Trace

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
LOGGED_IN = b"Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n"
PONG = b"Response: Success\r\nActionID: %d\r\nPing: Pong\r\nTimestamp: 1795491044.%06d\r\n\r\n"
HANGUP = b"Event: Hangup\r\nPrivilege: call,all\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nChannel: PJSIP/1-0\r\n\r\n"
NOON = 1795491044.25

ALL = [trace for trace in TRACES if trace.path.suffix == ".ami"]


def kept(*chunks: bytes, at: float = NOON) -> bytes:
    transcript = Transcript()
    return ended(message for chunk in chunks for message in transcript.take(chunk, at))


def facts_in(raw: bytes) -> list[object]:
    events = [one for one in Session().receive_data(raw) if not isinstance(one, Reply)]
    return list(replay(Board("pbx"), events))


class TestFidelity:
    @pytest.mark.parametrize("trace", ALL, ids=str)
    def test_what_is_kept_of_a_trace_tells_the_same(self, trace: Trace) -> None:
        raw = read_bytes(trace.path)
        once = kept(raw)
        assert facts_in(once) == facts_in(raw)
        assert kept(once) == once

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_however_the_bytes_arrive(self, size: int) -> None:
        raw = read_bytes(ALL[0].path)
        assert kept(*in_sizes(raw, [size])) == kept(raw)

    @given(st.binary(max_size=500))
    def test_whatever_the_bytes_are(self, noise: bytes) -> None:
        assert kept(HANGUP, noise, b"\r\n\r\n", HANGUP).startswith(b"Event: Hangup\r\nTimestamp: ")

    def test_what_never_ends_is_dropped_and_the_next_is_kept(self) -> None:
        assert kept(b"x" * (MAX_UNFINISHED + 1), HANGUP).endswith(b"Channel: PJSIP/1-0\r\n\r\n")


class TestTime:
    def test_an_event_without_a_time_is_given_that_of_its_arrival(self) -> None:
        assert kept(HANGUP) == HANGUP.replace(b"Hangup\r\n", b"Hangup\r\nTimestamp: 1795491044.250000\r\n")

    def test_a_time_of_its_own_stays(self) -> None:
        stamped = HANGUP.replace(b"Hangup\r\n", b"Hangup\r\nTimestamp: 1795490000.5\r\n")
        assert kept(stamped) == stamped

    def test_replies_and_greetings_are_as_they_came(self) -> None:
        assert kept(GREETING + LOGGED_IN) == GREETING + LOGGED_IN

    def test_an_event_that_is_one_line(self) -> None:
        assert kept(b"Event: FullyBooted\r\n\r\n") == b"Event: FullyBooted\r\nTimestamp: 1795491044.250000\r\n\r\n"


class TestBoundaries:
    def test_where_it_begins_in_the_middle_of_a_message_that_is_left_out(self) -> None:
        assert kept(HANGUP[40:] + HANGUP) == kept(HANGUP)

    def test_a_message_that_a_new_connection_interrupts_is_left_out(self) -> None:
        assert kept(HANGUP + HANGUP[:40] + GREETING + LOGGED_IN) == kept(HANGUP) + GREETING + LOGGED_IN

    def test_garbage_between_messages_is_evidence(self) -> None:
        assert kept(HANGUP + b"\xff noise\r\n\r\n" + HANGUP) == kept(HANGUP) + b"\xff noise\r\n\r\n" + kept(HANGUP)


class TestPongs:
    def test_of_many_in_a_row_the_last_stays_when_something_follows(self) -> None:
        pongs = b"".join(PONG % (number, number) for number in range(5))
        assert kept(HANGUP + pongs) == kept(HANGUP)
        assert kept(HANGUP + pongs + HANGUP) == kept(HANGUP) + PONG % (4, 4) + kept(HANGUP)


class TestSecrets:
    @pytest.mark.parametrize(
        "message",
        [
            "Event: ChallengeSent\r\nPrivilege: security,all\r\nChallenge: hush/1\r\nSessionID: hush",
            "Event: ChallengeResponseFailed\r\nPrivilege: security,all\r\nChallenge: hush\r\nResponse: hush\r\n"
            "ExpectedResponse: hush",
            "Event: InvalidPassword\r\nPrivilege: security,all\r\nReceivedChallenge: hush\r\nReceivedHash: hush",
            "Response: Success\r\nChallenge: hush",
            "Event: VarSet\r\nPrivilege: dialplan,all\r\nVariable: __API_KEY\r\nValue: hush hush",
            "Event: VarSet\r\nVariable: CRM_PASSWORD\r\nValue: hush",
            "Event: UserEvent\r\nUserEvent: Crm\r\nToken: hush\r\nAuthorization: Bearer hush",
            "Event: Newexten\r\nApplication: Set\r\nAppData: DB_PASSWORD=hush",
            "Event: Newexten\r\nApplication: CURL\r\nAppData: https://u:hush@crm.example/?api_key=hush&x=1",
            "Event: Newexten\r\nApplication: Authenticate\r\nAppData: hush",
            "Event: Newexten\r\nApplication: VMAuthenticate\r\nAppData: hush",
            "Event: Newchannel\r\nChanVariable(PJSIP/1-0): SIP_SECRET=hush",
            "Event: ContactStatus\r\nURI: sip:101:hush@10.0.0.7",
        ],
    )
    def test_are_stars(self, message: str) -> None:
        text = kept(message.encode() + b"\r\n\r\n")
        assert b"hush" not in text
        assert HIDDEN in text
        names = re.findall(r"(?m)^[^:]+(?=:)", message)
        assert [name for name in names if name.encode() not in text] == []

    @pytest.mark.parametrize(
        "line",
        [
            b"Response: Success",
            b"UsingPassword: 0",
            b"ChannelStateDesc: Up",
            b"AppData: PJSIP/101,20,tT",
            b"Value: /monitor/20261124-034058-in-79161234567-1795491044.6.wav",
            b"CallerID: sip:101@10.0.0.7",
        ],
    )
    def test_what_is_none_stays(self, line: bytes) -> None:
        message = b"Event: OriginateResponse\r\nTimestamp: 1795491044.5\r\nPrivilege: call,all\r\n" + line + b"\r\n\r\n"
        assert kept(message) == message
