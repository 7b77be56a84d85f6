"""What an operator's phone talks in, at each moment of recorded calls."""

from __future__ import annotations

from itertools import groupby

import pytest

from amibridge.ami.events import AmiEvent
from amibridge.calls.board import Board
from amibridge.calls.record import Extension
from tests.calls.truth import events_of
from tests.corpus import TRACES

NONE, TALKS, TWO, ASKS = "", "t", "tt", "c"


def moments(events: list[AmiEvent], extension: str) -> list[str]:
    """What *extension* is in, each time that changes."""
    board, seen = Board("pbx"), []
    for event in events:
        board.apply(event)
        seen.append("".join("c" if one.consulting else "t" for one in board.conversations(Extension(extension))))
    return [moment for moment, _ in groupby(seen)]


@pytest.mark.parametrize(
    ("trace", "anna", "boris"),
    [
        ("a_inbound_answered_caller_hangup", [NONE, TALKS, NONE], [NONE]),
        ("c_inbound_noanswer_timeout", [NONE], [NONE]),
        ("m_internal_answered", [NONE, TALKS, NONE], [NONE, TALKS, NONE]),
        ("n1_blind_refer", [NONE, TALKS, NONE], [NONE, TALKS, NONE]),
        ("o1_attended_refer_replaces", [NONE, TALKS, TWO, TALKS, NONE], [NONE, TALKS, NONE, TALKS, NONE]),
        # Boris is between two bridges whenever a Local channel before him goes.
        ("o2_attended_feature_code", [NONE, TALKS, NONE, ASKS, NONE], [NONE, TALKS, NONE, TALKS, NONE, TALKS, NONE]),
    ],
)
def test_of_recorded_calls(trace: str, anna: list[str], boris: list[str]) -> None:
    [found] = [one for one in TRACES if (one.stack, one.kind) == ("asterisk22", trace)]
    events = list(events_of(found.path))
    assert moments(events, "101") == anna
    assert moments(events, "102") == boris
    assert moments(events, "109") == [NONE]
