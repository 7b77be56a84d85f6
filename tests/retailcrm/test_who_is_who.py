"""Which user has which extension: the file, the codes, the names; contradictions are said and nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from amibridge.calls.record import Extension
from amibridge.cli.operators_table import operators_table
from amibridge.enterprises import Operator
from amibridge.retailcrm.modules import UserCode
from amibridge.retailcrm.users import User
from amibridge.retailcrm.who_is_who import who_is_who

ANNA = User(27, "Анна", "Сидорова", email="anna@romashka.example")
BORIS = User(31, "Борис", "Иванов", email="boris@romashka.example")
FYODOR = User(35, "Фёдор", "Вебер", active=False)
NAMESAKE = User(40, "Анна", "Сидорова")
ALL = (ANNA, BORIS, FYODOR)


def operators(*said: tuple[str, int | None, str | None]) -> dict[Extension, Operator]:
    return {Extension(one): Operator(Extension(one), user, name) for one, user, name in said}


@pytest.mark.parametrize(
    ("file", "codes", "wanted"),
    [
        # The file is right.
        ([("101", 27, None)], [], [("101", 27, "file"), (None, 31, None)]),
        ([("101", 27, None)], [(31, "102")], [("101", 27, "file"), ("102", 31, "code")]),
        # A code of the module.
        ([("101", None, "Борис Иванов")], [(27, "101")], [("101", 27, "code"), (None, 31, None)]),
        # A name, its parts in any order and case; an e-mail address.
        ([("101", None, "иванов борис")], [], [("101", 31, "name"), (None, 27, None)]),
        ([("101", None, "Boris@Romashka.example")], [], [("101", 31, "e-mail"), (None, 27, None)]),
        # Who may not sign in is nobody's match, and is not offered either.
        ([("101", None, "Федор Вебер")], [], [("101", None, None), (None, 27, None), (None, 31, None)]),
        ([("101", None, "Никто")], [], [("101", None, None), (None, 27, None), (None, 31, None)]),
        ([("101", None, None)], [], [("101", None, None), (None, 27, None), (None, 31, None)]),
    ],
)
def test_matches(
    file: Sequence[tuple[str, int | None, str | None]],
    codes: Sequence[tuple[int, str]],
    wanted: Sequence[tuple[str | None, int | None, str | None]],
) -> None:
    found = who_is_who(operators(*file), ALL, [UserCode(*one) for one in codes])
    assert [(one.extension, one.user and one.user.id, one.by) for one in found.matches] == list(wanted)


@pytest.mark.parametrize(
    ("file", "codes", "kind", "what"),
    [
        ([], [(27, "101"), (31, "101")], "two users, one code", "in the CRM users 27, 31 have the code 101"),
        (
            [], [(27, "101"), (27, "102")], "one user, two codes",
            "in the CRM user 27 (Анна Сидорова) has the codes 101, 102",
        ),
        (
            [("101", 27, None), ("102", 27, None)], [], "one user, two codes",
            "in the file user 27 (Анна Сидорова) has the codes 101, 102",
        ),
        (
            [("101", 99, None)], [], "unknown user",
            "in the file operator 101 is user 99, whom the CRM does not have",
        ),
        ([], [(99, "101")], "unknown user", "in the CRM the code 101 belongs to user 99, whom the CRM does not have"),
        (
            [("101", 27, None)], [(31, "101")], "code of another",
            "in the file 101 is user 27 (Анна Сидорова), in the CRM it is user 31 (Борис Иванов)",
        ),
        (
            [("101", 35, None)], [], "inactive user",
            "in the file operator 101 is user 35 (Фёдор Вебер), who may not sign in",
        ),
        (
            [], [(35, "101")], "inactive user",
            "in the CRM the code 101 belongs to user 35 (Фёдор Вебер), who may not sign in",
        ),
    ],
)  # fmt: skip
def test_contradictions(
    file: Sequence[tuple[str, int | None, str | None]], codes: Sequence[tuple[int, str]], kind: str, what: str
) -> None:
    [found] = who_is_who(operators(*file), ALL, [UserCode(*one) for one in codes]).conflicts
    assert (found.kind, found.what) == (kind, what)
    assert found.do


def test_a_name_of_two_is_nobodys() -> None:
    found = who_is_who(operators(("101", None, "Анна Сидорова")), (*ALL, NAMESAKE), ())
    assert found.matches[0].user is None
    assert [one.kind for one in found.conflicts] == ["name of several users"]


def test_what_agrees_contradicts_nothing() -> None:
    found = who_is_who(
        operators(("101", 27, "Анна"), ("102", 31, None)), ALL, [UserCode(27, "101"), UserCode(31, "102")]
    )
    assert found.conflicts == ()
    assert operators_table(operators(("101", 27, "Анна"), ("102", 31, None)), found.matches) == []


def test_the_file_is_offered_what_was_found_and_keeps_what_it_says() -> None:
    file = operators(("101", 27, "Аня"), ("102", None, "Иванов Борис"), ("9", None, None))
    found = who_is_who(file, (*ALL, User(50, "Evil\x1b[2J", '"quoted"')), [UserCode(50, "*150")])
    assert operators_table(file, found.matches) == [
        "[operators]",
        "9 = {}",
        '101 = { user = 27, name = "Аня" }',
        '102 = { user = 31, name = "Иванов Борис" }',
        '"*150" = { user = 50, name = "Evil [2J \\"quoted\\"" }',
    ]
