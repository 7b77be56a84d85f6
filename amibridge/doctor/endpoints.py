"""Which endpoints of a PBX we would take for operators and which for lines, beside what the enterprise file says. Pure.

Whoever is taken for the wrong one turns the direction of his calls: this is where a call that was told the wrong way
round is understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from amibridge.calls.numbering import Numbering, Role
from amibridge.calls.record import Extension
from amibridge.doctor.database import some
from amibridge.doctor.findings import Finding, fail, ok, warn
from amibridge.enterprises import Operator

SHOWN = 12
"""Names in one sentence."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """*name*: ``Technology/endpoint``. *registers*: it signs in elsewhere, as lines to a provider do and phones do not.

    *away*: no phone is signed in as it.
    """

    name: str
    registers: bool = False
    away: bool = False


def judged(
    endpoints: Sequence[Endpoint],
    numbering: Numbering,
    operators: Mapping[Extension, Operator],
    host: str,
    supervisors: Sequence[Extension] = (),
) -> Iterator[Finding]:
    """*operators*, *supervisors*: those of the enterprise file."""
    about = f"{host} endpoints"
    people: dict[Extension, Endpoint] = {}
    lines: list[Endpoint] = []
    named: list[Endpoint] = []
    for endpoint in sorted(endpoints, key=lambda one: one.name):  # Asterisk lists them in any order
        part = numbering.part_of(f"{endpoint.name}-00000000", None)
        if part.role is Role.OPERATOR and part.extension is not None:
            people[part.extension] = endpoint
        elif numbering.trunks and not _is_meant(endpoint, numbering.trunks):
            named.append(endpoint)
        else:
            lines.append(endpoint)
    yield from _overview(about, people, lines, named, numbering)
    yield from _odd_people(about, people.values())
    yield from _trunks_of_nobody(about, endpoints, numbering.trunks)
    yield from _compared_with_file(f"{host} operators", people, operators)
    phoneless = [extension for extension in supervisors if extension not in people]
    if phoneless:
        found = f"[supervision] names {some(phoneless, SHOWN)}, for whom this PBX has no endpoint"
        advice = "mend [supervision], unless they are on another host or have named devices"
        yield warn(f"{host} supervisors", found, advice)


def _overview(
    about: str,
    people: Mapping[Extension, Endpoint],
    lines: Sequence[Endpoint],
    named: Sequence[Endpoint],
    numbering: Numbering,
) -> Iterator[Finding]:
    """*named*: whose own name is no extension, where `trunks` says that they are no lines either."""
    outside = f"lines: {some([one.name for one in lines], SHOWN) or 'none'}"
    if named:
        outside += f"; operators by the caller ID they present: {some([one.name for one in named], SHOWN)}"
    if not people and not named:
        advice = f"let `internal` of this host match its extensions; now it is {numbering.internal}"
        yield fail(about, f"none is taken for an operator; {outside}", advice)
        return
    away = some([extension for extension, one in people.items() if one.away], SHOWN)
    operators = some(list(people), SHOWN) or "none"
    yield ok(about, f"operators: {operators}; {outside}" + (f"; not signed in: {away}" if away else ""))


def _odd_people(about: str, people: Iterable[Endpoint]) -> Iterator[Finding]:
    odd = [one.name for one in people if one.registers]
    if odd:
        found = f"{some(odd)} would be taken for operators, and sign in elsewhere as lines do"
        yield warn(about, found, f"name lines in `trunks` of this host: trunks = [{_quoted(odd)}]")


def _trunks_of_nobody(about: str, endpoints: Sequence[Endpoint], trunks: Sequence[str]) -> Iterator[Finding]:
    empty = [pattern for pattern in trunks if not any(_is_meant(one, [pattern]) for one in endpoints)]
    if empty:
        yield warn(about, f"there is none that `trunks` means by {some(empty)}", "mend `trunks`: letter case counts")


def _compared_with_file(
    about: str, people: Mapping[Extension, Endpoint], operators: Mapping[Extension, Operator]
) -> Iterator[Finding]:
    missing = [extension for extension in operators if extension not in people]
    unnamed = [extension for extension in people if extension not in operators]
    if missing:
        found = f"[operators] names {some(missing, SHOWN)}, for whom this PBX has no endpoint"
        yield warn(about, found, "mend [operators], unless they are on another host or have named devices")
    if not operators:
        yield ok(about, "[operators] names nobody: all are addressed by extension")
    elif unnamed:
        yield ok(about, f"not in [operators], so addressed by extension: {some(unnamed, SHOWN)}")
    elif not missing:
        yield ok(about, "[operators] names all of them")


def _is_meant(endpoint: Endpoint, trunks: Sequence[str]) -> bool:
    return any(fnmatchcase(endpoint.name, pattern) for pattern in trunks)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
