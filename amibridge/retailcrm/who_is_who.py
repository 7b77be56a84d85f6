"""Which user of the CRM has which extension: the file, the module's codes, names and e-mail addresses, side by side.

Laws: the file is right until a person changes it; a name or an address counts only when it is exactly one active
user's; whatever contradicts is said, and nothing is decided. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from amibridge.calls.record import Extension
from amibridge.enterprises import Operator
from amibridge.retailcrm.modules import UserCode
from amibridge.retailcrm.text import excerpt
from amibridge.retailcrm.users import User


class MatchedBy(StrEnum):
    FILE = "file"
    CODE = "code"
    NAME = "name"
    EMAIL = "e-mail"


@dataclass(frozen=True, slots=True)
class Match:
    """*extension* None: a user without one."""

    extension: Extension | None
    user: User | None = None
    by: MatchedBy | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """*what* is wrong, in a sentence, and what to *do* about it."""

    kind: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class WhoIsWho:
    """*matches*: every extension of the file and of the module, then active users without one."""

    matches: tuple[Match, ...]
    conflicts: tuple[Conflict, ...]


def who_is_who(operators: Mapping[Extension, Operator], users: Sequence[User], codes: Sequence[UserCode]) -> WhoIsWho:
    known = {user.id: user for user in users}
    having: defaultdict[Extension, list[int]] = defaultdict(list)
    for one in codes:
        if one.user_id not in having[Extension(one.code)]:
            having[Extension(one.code)].append(one.user_id)
    matches = [
        _match(extension, operators.get(extension), known, having[extension])
        for extension in sorted({*operators, *having}, key=lambda one: (len(one), one))
    ]
    placed = {match.user.id for match in matches if match.user is not None}
    placed.update(one.user_id for one in codes)
    idle = [Match(None, user) for user in users if user.active and user.id not in placed]
    return WhoIsWho((*matches, *idle), tuple(_conflicts(operators, known, having)))


def _match(extension: Extension, operator: Operator | None, known: Mapping[int, User], having: Sequence[int]) -> Match:
    if operator is not None and operator.user is not None:
        return Match(extension, known.get(operator.user), MatchedBy.FILE)
    coded = [known[user] for user in having if user in known]
    if len(coded) == 1:
        return Match(extension, coded[0], MatchedBy.CODE)
    if operator is not None and operator.name is not None and not coded:
        for by, found in (
            (MatchedBy.EMAIL, [user for user in known.values() if _same(user.email, operator.name)]),
            (MatchedBy.NAME, _named(operator.name, known.values())),
        ):
            if len(found) == 1 and found[0].active:
                return Match(extension, found[0], by)
    return Match(extension)


def _conflicts(
    operators: Mapping[Extension, Operator], known: Mapping[int, User], having: Mapping[Extension, Sequence[int]]
) -> Iterator[Conflict]:
    given: defaultdict[int, list[Extension]] = defaultdict(list)
    for extension, operator in sorted(operators.items()):
        if operator.user is not None:
            given[operator.user].append(extension)
            yield from _of_file(extension, operator.user, known, having.get(extension, ()))
        elif operator.name is not None and len(found := _named(operator.name, known.values())) > 1:
            yield Conflict(
                "name of several users",
                f"operator {extension} is called {operator.name}, as are users {_listed(one.id for one in found)}",
                f"name the user of {extension} in the file",
            )
    coded: defaultdict[int, list[Extension]] = defaultdict(list)
    for extension, users in sorted(having.items()):
        for user in users:
            coded[user].append(extension)
        if len(users) > 1:
            yield Conflict(
                "two users, one code",
                f"in the CRM users {_listed(users)} have the code {extension}",
                "leave it to one of them, in the CRM's telephony settings",
            )
    for source, owned in (("the file", given), ("the CRM", coded)):
        for user, extensions in sorted(owned.items()):
            if len(extensions) > 1:
                yield Conflict(
                    "one user, two codes",
                    f"in {source} {_called(user, known)} has the codes {', '.join(extensions)}",
                    "leave one of them: the CRM rings one phone of a user",
                )
    for user, extensions in sorted(coded.items()):
        if user not in given:
            yield from _absent(user, known, f"in the CRM the code {extensions[0]} belongs to")


def _of_file(extension: Extension, user: int, known: Mapping[int, User], having: Sequence[int]) -> Iterator[Conflict]:
    yield from _absent(user, known, f"in the file operator {extension} is")
    others = [one for one in having if one != user]
    if others:
        yield Conflict(
            "code of another",
            f"in the file {extension} is {_called(user, known)}, in the CRM it is {_called(others[0], known)}",
            f"take the code {extension} from user {others[0]} in the CRM, or change the file",
        )


def _absent(user: int, known: Mapping[int, User], begin: str) -> Iterator[Conflict]:
    if user not in known:
        yield Conflict("unknown user", f"{begin} user {user}, whom the CRM does not have", "name another user")
    elif not known[user].active:
        yield Conflict(
            "inactive user",
            f"{begin} {_called(user, known)}, who may not sign in",
            "activate him, or name another user",
        )


def _named(name: str, users: Iterable[User]) -> list[User]:
    """Users of that name, its parts in any order."""
    return [user for user in users if _parts(user.name) == _parts(name) != ()]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(sorted(name.casefold().replace("ё", "е").split()))


def _same(email: str | None, name: str) -> bool:
    return email is not None and "@" in name and email.casefold() == name.strip().casefold()


def _called(user: int, known: Mapping[int, User]) -> str:
    name = excerpt(known[user].name) if user in known else ""
    return f"user {user} ({name})" if name else f"user {user}"


def _listed(users: Iterable[int]) -> str:
    return ", ".join(map(str, users))
