"""Who asks: through which proxies, and whatever he writes himself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from amibridge.neighbours import neighbourhood
from amibridge.web.visitors import address_of

PROXIES = ("127.0.0.1", "10.0.0.0/8", "fd00::/8")


class Line:
    """A connection from there."""

    def __init__(self, peer: str | None) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._peer, 40000) if name == "peername" and self._peer is not None else default


def seen(peer: str | None, *ways: str, trusted: Sequence[str] = PROXIES) -> str:
    headers = CIMultiDict([("X-Forwarded-For", way) for way in ways])
    request = make_mocked_request("GET", "/", headers=headers, transport=Line(peer))
    return address_of(trusted)(request.clone(remote=peer) if peer is not None else request)


@pytest.mark.parametrize(
    ("peer", "ways", "address"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),  # a stranger says he is somebody else
        ("203.0.113.9", ("127.0.0.1",), "203.0.113.9"),
        ("127.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("6.6.6.6, 198.51.100.1",), "198.51.100.1"),  # what he wrote himself is left of our proxy's word
        ("127.0.0.1", ("127.0.0.1, 198.51.100.1",), "198.51.100.1"),
        ("127.0.0.1", ("6.6.6.6", "198.51.100.1"), "198.51.100.1"),  # two headers are one list
        ("127.0.0.1", ("198.51.100.1, 10.1.2.3",), "198.51.100.1"),  # two proxies of ours
        ("127.0.0.1", ("10.1.2.3, 10.1.2.4",), "10.1.2.3"),
        ("::ffff:127.0.0.1", ("::ffff:198.51.100.1",), "198.51.100.1"),
        ("fd00::1", (" 2001:db8::7 ",), "2001:db8::7"),
        ("127.0.0.1", ("2001:DB8:0::0007%eth0",), "2001:db8::7"),
        ("127.0.0.1", ("",), "127.0.0.1"),
        ("127.0.0.1", ("unknown",), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1, nonsense",), "127.0.0.1"),  # nothing left of what is no address is believed
        ("127.0.0.1", ("198.51.100.1,",), "127.0.0.1"),
        ("127.0.0.1", ("198.51.100.1, 10.1.2.3:80",), "127.0.0.1"),
        ("127.0.0.1", ("1.1.1.1' OR 1=1, 0x7f000001",), "127.0.0.1"),
        ("127.0.0.1", ("6.6.6.6, " * 400 + "198.51.100.1",), "198.51.100.1"),
        (None, ("198.51.100.1",), ""),
    ],
)
def test_who_asks(peer: str | None, ways: Sequence[str], address: str) -> None:
    assert seen(peer, *ways) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert seen("127.0.0.1", "198.51.100.1", trusted=()) == "127.0.0.1"


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60))
def test_whoever_is_not_trusted_writes_what_he_likes(way: str) -> None:
    assert seen("203.0.113.9", way) == "203.0.113.9"
    assert seen("127.0.0.1", f"{way}, 203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "around"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_what_one_visitor_may_have_many_of_is_one(address: str, around: str) -> None:
    assert neighbourhood(address) == around
