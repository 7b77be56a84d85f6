"""Who would be taken for an operator and who for a line, beside what the file says."""

from __future__ import annotations

import pytest

from amibridge.calls.numbering import Numbering
from amibridge.calls.record import Extension
from amibridge.doctor.endpoints import Endpoint, judged
from amibridge.doctor.findings import Finding, Level
from amibridge.enterprises import Operator
from tests.doctor.looking import unwell

OFFICE = [
    Endpoint("PJSIP/101"),
    Endpoint("PJSIP/102", away=True),
    Endpoint("PJSIP/provider", registers=True),
]


def judge(endpoints: list[Endpoint], *operators: str, numbering: Numbering | None = None) -> list[Finding]:
    named = {Extension(one): Operator(Extension(one)) for one in operators}
    return list(judged(endpoints, numbering or Numbering(), named, "pbx1"))


def test_an_office_as_it_should_be() -> None:
    overview, people = judge(OFFICE, "101", "102")
    assert (overview.level, people.level) == (Level.OK, Level.OK)
    assert overview.found == "operators: 101, 102; lines: PJSIP/provider; not signed in: 102"
    assert people.found == "[operators] names all of them"


def test_nobody_named_means_that_all_are_addressed_by_extension() -> None:
    _, people = judge(OFFICE)
    assert (people.level, people.found) == (Level.OK, "[operators] names nobody: all are addressed by extension")


def test_who_is_not_named_is_told() -> None:
    _, people = judge(OFFICE, "101")
    assert (people.level, people.found) == (Level.OK, "not in [operators], so addressed by extension: 102")


def test_an_operator_without_a_phone_is_told() -> None:
    assert unwell(judge(OFFICE, "101", "102", "105")) == [
        (Level.WARN, "pbx1 operators", "[operators] names 105, for whom this PBX has no endpoint")
    ]


def test_a_supervisor_without_a_phone_is_told() -> None:
    supervisors = [Extension("101"), Extension("100")]
    named = {Extension(one): Operator(Extension(one)) for one in ("101", "102")}
    assert unwell(list(judged(OFFICE, Numbering(), named, "pbx1", supervisors))) == [
        (Level.WARN, "pbx1 supervisors", "[supervision] names 100, for whom this PBX has no endpoint")
    ]


def test_a_line_that_looks_like_an_extension_is_told_with_the_words_to_write() -> None:
    [odd] = [one for one in judge([*OFFICE, Endpoint("SIP/00013", registers=True)]) if one.level is Level.WARN]
    assert odd.found == "SIP/00013 would be taken for operators, and sign in elsewhere as lines do"
    assert odd.advice == 'name lines in `trunks` of this host: trunks = ["SIP/00013"]'
    told = judge([*OFFICE, Endpoint("SIP/00013", registers=True)], numbering=Numbering(trunks=("SIP/000*", "PJSIP/p*")))
    assert unwell(told) == []


def test_a_trunk_that_is_not_there_is_told() -> None:
    found = unwell(judge(OFFICE, numbering=Numbering(trunks=("PJSIP/Provider", "PJSIP/provider"))))
    assert found == [(Level.WARN, "pbx1 endpoints", "there is none that `trunks` means by PJSIP/Provider")]


def test_nobody_who_looks_like_an_extension_is_a_failure() -> None:
    found = unwell(judge(OFFICE, numbering=Numbering(internal=r"^9\d\d$")))
    assert [(level, about) for level, about, _ in found] == [(Level.FAIL, "pbx1 endpoints")]


def test_named_devices_are_operators_only_where_trunks_says_what_the_lines_are() -> None:
    named = [Endpoint("PJSIP/anna"), Endpoint("PJSIP/provider")]
    [overview, _] = judge(named, numbering=Numbering(trunks=("PJSIP/provider",)))
    assert overview.found == (
        "operators: none; lines: PJSIP/provider; operators by the caller ID they present: PJSIP/anna"
    )
    assert unwell(judge(named)) != []


@pytest.mark.parametrize("count", [12, 13])
def test_a_large_office_fits_on_a_line(count: int) -> None:
    overview, _ = judge([Endpoint(f"PJSIP/{100 + number}") for number in range(count)])
    assert overview.found.count("1") >= 12
    assert ("and 1 more" in overview.found) == (count == 13)
