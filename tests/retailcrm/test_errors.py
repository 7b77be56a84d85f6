from __future__ import annotations

from amibridge.retailcrm.errors import CrmBroken, CrmRefused
from amibridge.retailcrm.text import EXCERPT, excerpt


def test_text_is_cut_to_printable_characters_of_one_line() -> None:
    shown = str(CrmBroken("<html>\r\n\x1b[31m Ошибка\x00\u202e</html>" + "я" * 5000))
    assert len(shown) == EXCERPT
    assert shown.isprintable()
    assert shown.startswith("<html> [31m Ошибка </html>я")


def test_a_short_text_stays() -> None:
    assert excerpt("Not found") == "Not found"


def test_status_is_told_once_there_is_one() -> None:
    assert str(CrmBroken("no")) == "no"
    assert str(CrmBroken("no", status=502)) == "no (HTTP 502)"


def test_complaints_are_told_with_the_refusal_and_bounded() -> None:
    error = CrmRefused("Validation error", status=400, errors={"phone": "wrong", "code": "x" * 9000})
    assert str(error).startswith("Validation error: phone: wrong; code: xxx")
    assert error.message == "Validation error"
    assert len(str(error)) <= EXCERPT + len(" (HTTP 400)")


def test_nobodys_number_is_in_the_text_of_an_error() -> None:
    error = CrmRefused("Customer 8 (916) 123-45-67 exists", errors={"phone": "+79161234567 is in use"}, status=400)
    assert str(error) == "Customer 89•••••4567 exists: phone: +79•••••4567 is in use (HTTP 400)"
