"""What a PBX shows as a caller's name, and whether it is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amibridge.retailcrm.names import LONGEST, name_of


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ("Жанна Ивановская", "Жанна Ивановская"),
        ("O'Brien, Pat", "O'Brien, Pat"),
        ('"ООО Ромашка"', "ООО Ромашка"),
        ("  Иван \t Петров ", "Иван Петров"),
        ("IVANOV IVAN", "IVANOV IVAN"),
        ("Ян", "Ян"),
        ("Школа 57", "Школа 57"),
        ("Магазин №1234", "Магазин №1234"),
        ("王小明", "王小明"),
        ("Иван\x1b[31m\nПетров", "Иван [31m Петров"),
    ],
)
def test_names(shown: str, name: str) -> None:
    assert name_of(shown) == name


@pytest.mark.parametrize(
    "shown",
    [None, "", " ", "79161234567", "+7 (916) 123-45-67", "8 916 123 45 67", "Sales 74951110001", "Офис:89161234567",
     "anonymous", "Anonymous", "Unknown", "<unknown>", "Restricted", "SKYPE 12345", "Неизвестный", "Скрытый номер", "-",
     "...", "007", "V", "x", "\x00\x01", "Asterisk", "Out Of Area", "‎"],
)  # fmt: skip
def test_what_is_no_name(shown: str | None) -> None:
    assert name_of(shown) is None


@given(st.text())
def test_whatever_is_shown_gives_one_short_printable_line_or_nothing(shown: str) -> None:
    name = name_of(shown)
    assert name is None or (2 <= len(name) <= LONGEST and name == name.strip() and name.isprintable())
