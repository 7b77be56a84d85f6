from __future__ import annotations

import pytest

from amibridge.calls.phones import shown, to_e164


@pytest.mark.parametrize(
    ("number", "region", "e164"),
    [
        ("79161234567", "RU", "+79161234567"),
        ("89161234567", "RU", "+79161234567"),
        ("9161234567", "RU", "+79161234567"),
        ("+7 (916) 123-45-67", "RU", "+79161234567"),
        ("8 (916) 123-45-67", "RU", "+79161234567"),
        ("74951110001", "RU", "+74951110001"),
        ("84951110001", "BY", "+74951110001"),
        ("80296254070", "BY", "+375296254070"),
        ("80296254070", "RU", "+375296254070"),
        ("375296254070", "BY", "+375296254070"),
        ("375296254070", "RU", "+375296254070"),
        ("00375296254070", "RU", "+375296254070"),
        ("00375296254070", "BY", "+375296254070"),
        ("810375296254070", "RU", "+375296254070"),
        ("296254070", "BY", "+375296254070"),
        ("87011234567", "KZ", "+77011234567"),
        ("77011234567", "RU", "+77011234567"),
        ("380501234567", "RU", "+380501234567"),
        ("0501234567", "UA", "+380501234567"),
        ("00491701234567", "RU", "+491701234567"),
        ("+79161234567;phone-context=x", "RU", "+79161234567"),
        ("sip:+79161234567@10.0.0.1", "RU", "+79161234567"),
        ("tel:+79161234567", "RU", "+79161234567"),
    ],
)
def test_habits_of_the_region(number: str, region: str, e164: str) -> None:
    assert to_e164(number, region) == e164


@pytest.mark.parametrize(
    "number",
    [None, "", "101", "1001", "*8", "112", "s", "anonymous", "Anonymous", "<unknown>", "5000000", "7916", "абв",
     "+", "0" * 40, "1" * 5000, "79161234567x12345678901", "\x00", "٧٩١٦١٢٣٤٥٦٧"],
)  # fmt: skip
def test_what_is_no_public_number(number: str | None) -> None:
    found = to_e164(number, "RU")
    assert found is None or (found.startswith("+7") and found[1:].isascii())
    if number is None or len(number) < 10 or len(number) > 25:
        assert found is None


def test_an_unknown_region_reads_only_international_numbers() -> None:
    assert to_e164("+79161234567", "ZZ") == "+79161234567"
    assert to_e164("101", "ZZ") is None


@pytest.mark.parametrize("number", ["anonymous", "Anonymous", " restricted ", "<unknown>", "", None])
def test_withheld(number: str | None) -> None:
    assert shown(number) is None


def test_shown_as_the_pbx_saw_it() -> None:
    assert shown("+7 (916) 123-45-67") == "+7 (916) 123-45-67"
