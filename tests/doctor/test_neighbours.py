"""Two enterprises at one PBX."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amibridge.doctor.neighbours import shared_hosts
from tests.store.enterprises import romashka


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, True), ({"host": "10.0.0.6"}, False), ({"port": 5039}, False), ({"username": "vasilek"}, False)],
)
def test_with_one_account_each_hears_the_calls_of_both(changes: dict[str, object], told: bool) -> None:
    ours, theirs = romashka(), romashka("0124")
    theirs = replace(theirs, hosts=tuple(replace(one, **changes) for one in theirs.hosts))  # type: ignore[arg-type]
    found = list(shared_hosts(ours, [ours, theirs]))
    assert [one.about for one in found] == (["pbx1 account"] if told else [])
    assert all(one.found.startswith("0124 signs in there as amibridge, too") for one in found)
