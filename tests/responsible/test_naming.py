"""What a phone shows of a caller, and which context rings his manager."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.calls.record import Extension
from amibridge.enterprises import NamePart
from amibridge.responsible.naming import LONGEST, dialplan, shown, tidy
from tests.responsible.people import customer, known, romashka, told

LINE, CUSTOMER, SHOP = NamePart.LINE, NamePart.CUSTOMER, NamePart.SHOP


@pytest.mark.parametrize(
    ("parts", "line", "wanted"),
    [
        ((CUSTOMER,), "74951110001", "Иван Петров"),
        ((LINE, CUSTOMER, SHOP), "74951110001", "Москва | Иван Петров | romashka"),
        ((SHOP, LINE), "74951110001", "romashka | Москва"),
        ((LINE, CUSTOMER), "+74951110001", "Москва | Иван Петров"),
        ((LINE, CUSTOMER, SHOP), "0001301", "GSM | Иван Петров"),
        ((LINE, CUSTOMER), "no such line", "Иван Петров"),
        ((LINE, CUSTOMER), None, "Иван Петров"),
        ((LINE,), None, ""),
        ((), "74951110001", ""),
    ],
)
def test_the_parts_that_are_wanted_and_known(parts: tuple[NamePart, ...], line: str | None, wanted: str) -> None:
    assert shown(romashka(name=parts), line, known(customer())) == wanted


def test_a_customer_whom_only_the_crm_knows_is_shown_too() -> None:
    assert shown(romashka(), None, known(None, told(name="Ирина"))) == "Ирина"
    assert shown(romashka(), None, known(customer(name=""), told(name="Ирина"))) == "Ирина"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ('ООО "Ромашка, Лютик"', "ООО Ромашка Лютик"),
        ("O'Брайен", "O'Брайен"),
        ("a\nb\r\nc\td", "a b c d"),
        ("back\\slash", "back slash"),
        ("<html>", "html"),
        ("${SHELL(reboot)}", "SHELL(reboot)"),
        ("  \u202eправо\u202c  ", "право"),
        ("\ud800", ""),
        (None, ""),
    ],
)
def test_nothing_that_is_shown_ends_a_word_of_the_dialplan(name: str | None, wanted: str) -> None:
    assert tidy(name) == wanted


@given(st.text(max_size=300))
def test_whatever_somebody_is_called_it_is_one_short_line(name: str) -> None:
    text = shown(romashka(name=(LINE, CUSTOMER)), "74951110001", known(customer(name=name)))
    assert len(text) <= LONGEST
    assert not set(text) & set(',"\\\n\r<>{}$`;')
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("pattern", "extension", "line", "wanted"),
    [
        ("mngr{extension}_{line}_1", "101", "0001301", "mngr101_0001301_1"),
        ("to-{extension}", "101", "0001301", "to-101"),
        ("mngr{extension}_{line}_1", "101", "", None),
        ("mngr{extension}_{line}_1", "101", "1,2", None),
        ("mngr{extension}_{line}_1", "101", "${X}", None),
        ("mngr{extension}_{line}_1", "1*1", "0001301", None),
        ("mngr{extension}_{line}_1", "1" * 64, "0001301000", None),
    ],
)
def test_the_context(pattern: str, extension: str, line: str, wanted: str | None) -> None:
    assert dialplan(romashka(dialplan=pattern), Extension(extension), line) == wanted
