"""Every number of a region, in every usual writing of it, is that number; and no other country's anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from amibridge.calls import phones
from amibridge.calls.phones import shown, to_e164


@dataclass(frozen=True)
class Habits:
    """How the people of a region write: *trunk* before the area code, *abroad* before the country code, *bare* when
    they leave the trunk prefix out."""

    trunk: tuple[str, ...]
    abroad: tuple[str, ...]
    bare: bool = True


HABITS = {
    "BY": Habits(("80", "0"), ("810", "00")),
    "RU": Habits(("8",), ("810", "00")),
    "KZ": Habits(("8",), ("810", "00")),
    "UA": Habits(("0", "80"), ("00", "810")),
    "PL": Habits((), ("00",)),
    "DE": Habits(("0",), ("00",), bare=False),
    "GE": Habits(("0", "8"), ("00",)),
    "UZ": Habits(("8",), ("00", "810")),
    "US": Habits(("1",), ("011",)),
}
KINDS = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
SEPARATORS = ("", " ", "-", ".", "\u00a0", "\u2011")
ACROSS_THE_BORDER = {("RU", "BY"), ("BY", "RU"), ("KZ", "BY"), ("BY", "KZ"), ("RU", "KZ"), ("KZ", "RU")}


@st.composite
def numbers(draw: st.DrawFn, region: str) -> PhoneNumber:
    """A fixed or mobile number of *region*: the beginning of an example, and chance."""
    example = phonenumbers.example_number_for_type(region, draw(st.sampled_from(KINDS)))
    assert example is not None
    digits = str(example.national_number)
    kept = draw(st.integers(0, len(digits) - 4))
    tail = draw(st.text("0123456789", min_size=len(digits) - kept, max_size=len(digits) - kept))
    assume(not (digits[:kept] + tail).startswith("0"))
    number = PhoneNumber(country_code=example.country_code, national_number=int(digits[:kept] + tail))
    assume(phonenumbers.is_valid_number_for_region(number, region))
    return number


def national_of(number: PhoneNumber) -> str:
    return phonenumbers.national_significant_number(number)


@st.composite
def written(draw: st.DrawFn, number: PhoneNumber, habits: Habits, *, abroad: bool) -> str:
    """*number* in a usual national or (*abroad*) international writing, however it is broken up."""
    national, code = national_of(number), str(number.country_code)
    if abroad:
        # Ten digits may be either: nobody leaves both the plus and the prefix out where numbers are so short.
        plain = [""] if len(code + national) > 10 else []
        head = draw(st.sampled_from(["+", *plain, *habits.abroad])) + code
    else:
        head = draw(st.sampled_from([*habits.trunk, *([""] if habits.bare else [])]))
    gap, area = draw(st.sampled_from(SEPARATORS)), draw(st.sampled_from([2, 3]))
    groups = [national[:area], national[area : area + 3], national[area + 3 : area + 5], national[area + 5 :]]
    if draw(st.booleans()):
        groups[0] = f"({groups[0]})"
    return f"{draw(st.sampled_from(['', 'tel:']))}{head}{gap}{gap.join(groups).rstrip()}".strip()


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@pytest.mark.parametrize("region", HABITS)
@given(data=st.data())
def test_every_number_in_every_usual_writing_is_itself(region: str, data: st.DataObject) -> None:
    number = data.draw(numbers(region))
    text = data.draw(written(number, HABITS[region], abroad=data.draw(st.booleans())))
    assert to_e164(text, region) == e164(number)
    assert to_e164(e164(number), region) == e164(number)


@pytest.mark.parametrize("region", HABITS)
@given(data=st.data())
def test_no_other_country_is_read_into_a_national_number(region: str, data: st.DataObject) -> None:
    """What somebody else writes for use at home is a number of ours, or none."""
    writer = data.draw(st.sampled_from([other for other in HABITS if other != region]))
    text = data.draw(written(data.draw(numbers(writer)), HABITS[writer], abroad=False))
    digits = "".join(filter(str.isdecimal, text))
    # With its 1, a number of the US is written as from abroad; Ukraine's 80… of old is Belarus's of today.
    assume(not (writer == "US" and len(digits) == 11))
    assume(not (writer == "UA" and digits.startswith("80")))
    found = to_e164(text, region)
    if found is not None:
        code = phonenumbers.parse(found).country_code
        home = phonenumbers.country_code_for_region(region)
        neighbour = phonenumbers.country_code_for_region(writer)
        assert code == home or ((region, writer) in ACROSS_THE_BORDER and code == neighbour)


@pytest.mark.parametrize("region", HABITS)
@given(data=st.data())
def test_international_writing_is_read_the_same_everywhere(region: str, data: st.DataObject) -> None:
    number = data.draw(numbers(data.draw(st.sampled_from(list(HABITS)))))
    head: Callable[[str], str] = data.draw(st.sampled_from([lambda code: "+" + code, lambda code: "00" + code]))
    assert to_e164(head(str(number.country_code)) + national_of(number), region) == e164(number)


@given(text=st.text(max_size=100), region=st.sampled_from([*HABITS, "ZZ", "", "РФ"]))
def test_nothing_raises_and_what_is_found_is_a_number(text: str, region: str) -> None:
    shown(text)
    found = to_e164(text, region)
    assert found is None or phonenumbers.is_valid_number(phonenumbers.parse(found))
    assert found is None or to_e164(found, region) == found


@given(digits=st.text("0123456789", max_size=8), region=st.sampled_from(list(HABITS)))
def test_an_extension_or_a_service_number_is_no_number_of_the_world(digits: str, region: str) -> None:
    if not digits.startswith("0"):
        assert to_e164(digits, region) is None


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    """An attacker chooses caller IDs: neither how many nor how long they are makes the bridge grow."""
    for cache in (phones._to_e164, phones._is_withheld):
        assert cache.cache_parameters()["maxsize"] <= 16_384
    before = phones._to_e164.cache_info().currsize
    for n in range(50):
        to_e164("+" + "7" * (1000 + n), "RU")
        shown("x" * (1000 + n))
    assert phones._to_e164.cache_info().currsize == before
