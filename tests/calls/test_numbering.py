from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.calls.numbering import Numbering, Role, dialled_number, endpoint_of

PLAIN = Numbering()
NAMED = Numbering(trunks=("PJSIP/provider*", "SIP/00013*"))


def seen(numbering: Numbering, channel: str, caller_id: str | None, context: str = "plan") -> tuple[Role, str | None]:
    part = numbering.part_of(channel, caller_id, context)
    return part.role, part.extension


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
    assert seen(PLAIN, channel, caller_id) == (role, extension)


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
    assert seen(NAMED, channel, caller_id) == (role, extension)


def test_a_trunk_may_look_like_an_extension() -> None:
    assert seen(Numbering(trunks=("SIP/100",)), "SIP/100-00000001", None) == (Role.TRUNK, None)


@pytest.mark.parametrize(
    ("channel", "caller_id", "context", "role", "extension"),
    [
        ("PJSIP/101-00000001", "101", "from-internal", Role.OPERATOR, "101"),
        ("SIP/101-00000001", "101", "from-trunk", Role.TRUNK, None),
        ("SIP/13-00000001", None, "FROM-TRUNK", Role.TRUNK, None),
        ("IAX2/12345-2041", "12345", "from-trunk-iax2-12345", Role.TRUNK, None),
        ("PJSIP/anna-00000001", "101", "from-internal", Role.OPERATOR, "101"),
        ("PJSIP/anna-00000001", "101", "from-trunk", Role.TRUNK, None),
        ("PJSIP/anna-00000001", "101", "sales", Role.TRUNK, None),
        ("PJSIP/anna-00000001", "79161234567", "from-internal", Role.TRUNK, None),
        ("PJSIP/anna-00000001", None, "from-internal", Role.TRUNK, None),
        ("SIP/101-wifi-00000001", "101", "sales", Role.OPERATOR, "101"),
        ("SIP/101-wifi-00000001", "102", "sales", Role.TRUNK, None),
        ("PJSIP/200101-00000001", "200101", "from-internal", Role.OPERATOR, "200101"),
        ("PJSIP/200101-00000001", "200101", "sales", Role.TRUNK, None),
        ("PJSIP/74951110000-00000001", "74951110000", "from-internal", Role.TRUNK, None),
        ("DAHDI/33-1", "79161234567", "sales", Role.TRUNK, None),
        ("DAHDI/i1/112-5", "112", "sales", Role.TRUNK, None),
        ("DAHDI/7-1", "112", "from-internal", Role.OPERATOR, "112"),
        ("Dongle/dongle0-0100000000", "101", "sales", Role.TRUNK, None),
        ("AudioSocket/10.0.0.1:9092-5b6f", "101", "from-internal", Role.PLUMBING, None),
    ],
)
def test_role_by_context(channel: str, caller_id: str | None, context: str, role: Role, extension: str | None) -> None:
    assert seen(PLAIN, channel, caller_id, context) == (role, extension)


@pytest.mark.parametrize("context", ["from-trunk", "from-internal", "sales"])
def test_settings_outweigh_what_is_seen(context: str) -> None:
    assert seen(NAMED, "SIP/101-00000001", "79161234567", context) == (Role.OPERATOR, "101")
    assert seen(NAMED, "PJSIP/provider-00000001", "101", context) == (Role.TRUNK, None)


TEXT = st.text(max_size=40) | st.sampled_from(["PJSIP/", "/", "-", "PJSIP/anna-00000001", "101", "sip:", "@", "\n"])


@given(channel=TEXT, caller_id=st.none() | TEXT, context=TEXT, dial_string=TEXT, named=st.booleans())
def test_nothing_that_a_pbx_may_say_raises(
    channel: str, caller_id: str | None, context: str, dial_string: str, named: bool
) -> None:
    numbering = NAMED if named else PLAIN
    part = numbering.part_of(channel, caller_id, context)
    for then in (
        numbering.part_when_dialled(channel, part, dial_string),
        numbering.part_when_it_speaks(channel, part, caller_id),
    ):
        assert (then.extension is not None) == (then.role is Role.OPERATOR)


@pytest.mark.parametrize("number", ["1", "123456", "+101", "101a", "", None, "*8", "1٠1a", "١٠١", "101\n"])
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
        ("trunk/sip:89161112233@10.0.0.1:5060", "89161112233"),
        ("101/sip:101@10.0.0.7:5060;transport=ws", "101"),
        ("101/sip:8u3kd9@10.0.0.7", None),
        ("PJSIP/102", "102"),
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
