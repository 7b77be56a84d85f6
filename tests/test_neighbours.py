"""Who is one visitor, and how many places he may take."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from amibridge.neighbours import Places, neighbourhood


def test_one_visitor_does_not_take_all() -> None:
    places = Places(4, 2)
    assert [places.take("203.0.113.9") for _ in range(4)] == [True, True, False, False]
    assert [places.take(f"203.0.113.{number}") for number in (10, 11, 12)] == [True, True, False]
    places.leave("203.0.113.9")
    assert places.take("203.0.113.12")
    assert len(places) == 4


def test_of_ipv6_a_visitor_has_a_whole_network() -> None:
    places = Places(9, 1)
    assert [places.take(one) for one in ("2001:db8::1", "2001:db8::2%eth0", "2001:db8:0:1::1")] == [True, False, True]


def test_whoever_stands_for_many_has_as_many_places_as_there_are() -> None:
    places = Places(5, 1, exempt=["10.0.0.0/8", "::1"])
    assert [places.take(one) for one in ("10.1.2.3", "10.1.2.3", "::ffff:10.1.2.3", "::1", "::1", "::1")] == [
        *[True] * 5,
        False,
    ]


def test_what_has_no_address_is_one_visitor() -> None:
    places = Places(9, 1)
    assert [places.take(one) for one in ("", "", "@socket", "@socket")] == [True, False, True, False]


@given(st.lists(st.tuples(st.sampled_from(["a", "203.0.113.9", "::1", "2001:db8::7"]), st.booleans()), max_size=200))
def test_what_is_left_is_there_again_and_nothing_is_remembered(steps: list[tuple[str, bool]]) -> None:
    places, held = Places(6, 3), Counter[str]()
    for who, comes in steps:
        if comes:
            there_is_one = held.total() < 6 and held[who] < 3
            assert places.take(who) == there_is_one
            held[who] += there_is_one
        elif held[who]:
            places.leave(who)
            held[who] -= 1
        assert len(places) == held.total()
    for who, many in held.items():
        for _ in range(many):
            places.leave(who)
    assert len(places) == 0
    assert not places._taken
    assert neighbourhood("2001:db8::7") == "2001:db8::/64"
