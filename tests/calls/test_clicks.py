"""What may be asked of a click, and what no wording gets past."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.ami.actions import UNSAFE_IN_VARIABLE
from amibridge.calls.clicks import (
    LONGEST_NAME,
    ClickRefused,
    Dialling,
    Why,
    asked_extension,
    asked_number,
    dialled,
    name_to_show,
)
from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension

PLANS = [Numbering(r"^\d{3}$"), Numbering(r"^(?:9[89])?(?P<extension>\d{4})$")]
OPERATORS = {Extension("anna"), Extension("7")}

SMELLS = [
    "101\r\nAction: Command", "101\0", "${SHELL(id)}", "$[1+1]", "101&102", "101/n", "101@from-trunk", "101,1",
    "101|1", "101;1", "101\\", "101'", '101"', "<101>", "%31", "1" * 4096,
]  # fmt: skip
WRONG_EXTENSIONS = [
    "",
    "10",
    "10101",
    "991234",
    "ann",
    "ANNA",
    "74951110001",
    "1 01",
    "+101",
    "101.",
    "\u0661\u0660\u0661",
]
WRONG_NUMBERS = [
    "", "+", "101", "911", "*72", "8916111223", "+7916111223344556", "+7 (916", "0000000000", "доб. 5", "anonymous",
]  # fmt: skip


@pytest.mark.parametrize("code", ["101", " 101 ", "1234", "anna", "7"])
def test_an_extension_is_what_looks_like_one_or_is_named(code: str) -> None:
    assert asked_extension(code, OPERATORS, PLANS) == code.strip()


@pytest.mark.parametrize(
    ("code", "smells"), [*((one, False) for one in WRONG_EXTENSIONS), *((one, True) for one in SMELLS)]
)
def test_nothing_else_is_one(code: str, smells: bool) -> None:
    with pytest.raises(ClickRefused) as refused:
        asked_extension(code, OPERATORS, PLANS)
    assert (refused.value.why, refused.value.smells) == (Why.UNKNOWN_EXTENSION, smells)


@pytest.mark.parametrize(
    ("phone", "region", "dialled", "e164"),
    [
        ("+375291234567", "BY", "+375291234567", "+375291234567"),
        (" 375291234567", "BY", "375291234567", "+375291234567"),
        ("375291234567", "RU", "375291234567", "+375291234567"),
        ("80291234567", "BY", "80291234567", "+375291234567"),
        ("8 (916) 111-22-33", "RU", "89161112233", "+79161112233"),
        ("+7 916 111\u201122\u201133\u200e", "RU", "+79161112233", "+79161112233"),
        ("+\u0667\u0669\u0661\u0666\u0661\u0661\u0661\u0662\u0662\u0663\u0663", "RU", "+79161112233", "+79161112233"),
    ],
)
def test_a_number_is_dialled_as_it_came_without_what_is_no_digit(
    phone: str, region: str, dialled: str, e164: str
) -> None:
    assert asked_number(phone, region) == (dialled, e164)


@pytest.mark.parametrize(
    ("phone", "smells"),
    [*((one, False) for one in WRONG_NUMBERS), *((f"+7916111223{one}", True) for one in SMELLS), ("9" * 4096, True)],
)
def test_nothing_else_is_a_number(phone: str, smells: bool) -> None:
    with pytest.raises(ClickRefused) as refused:
        asked_number(phone, "RU")
    assert (refused.value.why, refused.value.smells) == (Why.NO_NUMBER, smells)
    assert "1112" not in str(refused.value)


@given(st.text(max_size=80) | st.text("+0123456789 ()-", max_size=20))
def test_what_is_dialled_is_digits_and_one_plus_before_them(phone: str) -> None:
    try:
        dialled, e164 = asked_number(phone, "RU")
    except ClickRefused:
        return
    for number in (dialled.removeprefix("+"), e164[1:]):
        assert set(number) <= set(string.digits)
    assert 7 <= len(e164) <= 16


@given(st.text(max_size=80))
def test_an_extension_is_never_more_than_its_letters(code: str) -> None:
    try:
        extension = asked_extension(code, {Extension(code), Extension(code.strip())}, PLANS)
    except ClickRefused:
        return
    assert set(extension) <= set(string.ascii_letters + string.digits + "_.*#+-")


@pytest.mark.parametrize(
    ("phone", "region", "national"),
    [
        ("+79161112233", "RU", "89161112233"),
        ("+375291234567", "BY", "80291234567"),
        ("+375291234567", "RU", "810375291234567"),
        ("+77011234567", "KZ", "87011234567"),
        ("+380501234567", "UA", "0501234567"),
    ],
)
def test_a_dialplan_gets_the_number_as_it_wants_it(phone: str, region: str, national: str) -> None:
    told = {how: dialled(how, "as it came", phone, region) for how in Dialling}
    assert told == {
        Dialling.AS_GIVEN: "as it came",
        Dialling.E164: phone,
        Dialling.DIGITS: phone[1:],
        Dialling.NATIONAL: national,
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Иван Петров", "Иван Петров"),
        ("O'Brien-Smith Jr.", "O'Brien-Smith Jr."),
        ('ООО "Ромашка", (Москва)\r\nX: ${Y}', "ООО Ромашка Москва X Y"),
        ("я" * 100, "я" * LONGEST_NAME),
        ("", None),
        ('"[]",\\', None),
    ],
)
def test_a_name_is_shown_without_what_a_dialplan_could_stumble_over(name: str, shown: str | None) -> None:
    assert name_to_show(name) == shown


@given(st.text())
def test_no_name_breaks_out_of_its_variable(name: str) -> None:
    shown = name_to_show(name)
    assert shown is None or (not UNSAFE_IN_VARIABLE.intersection(shown) and not set("$%&{}|<>;").intersection(shown))
