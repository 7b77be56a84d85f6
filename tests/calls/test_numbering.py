from __future__ import annotations

import pytest

from amibridge.calls.numbering import Numbering, Role, dialled_number, endpoint_of

PLAIN = Numbering()
NAMED = Numbering(trunks=("PJSIP/provider*", "SIP/00013*"))


@pytest.mark.parametrize(
    ("channel", "caller_id", "role", "extension"),
    [
        ("PJSIP/101-00000005", "101", Role.OPERATOR, "101"),
        ("SIP/101-0000001c", "74951110000", Role.OPERATOR, "101"),
        ("PJSIP/trunk-00000004", "79161234567", Role.TRUNK, None),
        ("PJSIP/trunk-00000004", "1001", Role.TRUNK, None),  # a short number from outside is nobody's extension
        ("PJSIP/my-trunk-00000004", None, Role.TRUNK, None),
        ("Local/101@from-internal-00000009;1", "101", Role.PLUMBING, None),
        ("ConfBridge/1-2", None, Role.PLUMBING, None),
        ("DAHDI/1-1", "79161234567", Role.TRUNK, None),
        ("IAX2/101-1234", "101", Role.OPERATOR, "101"),
        ("PJSIP/101", "101", Role.OPERATOR, "101"),
        ("nonsense", None, Role.TRUNK, None),
    ],
)
def test_role_without_configuration(channel: str, caller_id: str | None, role: Role, extension: str | None) -> None:
    assert PLAIN.role_of(channel, caller_id) == (role, extension)


@pytest.mark.parametrize(
    ("channel", "caller_id", "role", "extension"),
    [
        ("PJSIP/provider-00000004", "1001", Role.TRUNK, None),
        ("PJSIP/provider2-00000004", "1001", Role.TRUNK, None),
        ("SIP/0001345-00000004", "101", Role.TRUNK, None),
        ("PJSIP/anna-00000004", "101", Role.OPERATOR, "101"),
        ("PJSIP/anna-00000004", "79161234567", Role.TRUNK, None),
        ("PJSIP/anna-00000004", None, Role.TRUNK, None),
        ("PJSIP/101-00000004", "79161234567", Role.OPERATOR, "101"),
    ],
)
def test_role_where_the_lines_are_named(channel: str, caller_id: str | None, role: Role, extension: str | None) -> None:
    assert NAMED.role_of(channel, caller_id) == (role, extension)


def test_a_trunk_may_look_like_an_extension() -> None:
    assert Numbering(trunks=("SIP/100",)).role_of("SIP/100-00000001", None) == (Role.TRUNK, None)


@pytest.mark.parametrize("number", ["1", "123456", "+101", "101a", "", None, "*8", "1٠1a"])
def test_what_is_no_extension(number: str | None) -> None:
    assert not PLAIN.is_internal(number)


def test_the_pattern_is_for_the_whole_number() -> None:
    assert not Numbering(internal=r"\d{3}").is_internal("79161234567")
    assert Numbering(internal=r"\d{3}").is_internal("101")


@pytest.mark.parametrize(
    ("dial_string", "number"),
    [
        ("89161112233@trunk", "89161112233"),
        ("trunk/89161112233", "89161112233"),
        ("sip:+79161112233@10.0.0.1", "+79161112233"),
        ("101", "101"),
        ("g1/89161112233", "89161112233"),
        ("user@peer/89161112233", "89161112233"),
        ("trunk", None),
        ("", None),
    ],
)
def test_number_in_a_dial_string(dial_string: str, number: str | None) -> None:
    assert dialled_number(dial_string) == number


@pytest.mark.parametrize(
    ("channel", "endpoint"),
    [
        ("PJSIP/101-00000066", "PJSIP/101"),
        ("PJSIP/101", "PJSIP/101"),
        ("PJSIP/my-trunk", "PJSIP/my-trunk"),
        ("Local/101@from-internal/n", "Local/101@from-internal"),
        ("Local/101@from-internal-00000002;1", "Local/101@from-internal"),
    ],
)
def test_endpoint(channel: str, endpoint: str) -> None:
    assert endpoint_of(channel) == endpoint
