"""The `[operators]` of an enterprise file, written out as matching the CRM's users suggests it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from amibridge.calls.record import Extension
from amibridge.enterprises import Operator
from amibridge.retailcrm.text import excerpt
from amibridge.retailcrm.who_is_who import Match


def operators_table(operators: Mapping[Extension, Operator], matches: Sequence[Match]) -> list[str]:
    """Lines of TOML that keep what the file says; none when nothing would be added to it."""
    told = {match.extension: match for match in matches if match.extension is not None}
    if all(match.user is None or _user(operators.get(one)) == match.user.id for one, match in told.items()):
        return []
    return [
        "[operators]",
        *(
            f"{_key(one)} = {_table(_values(operators.get(one), match))}"
            for one, match in told.items()
            if match.user is not None or one in operators
        ),
    ]


def _table(values: Iterator[str]) -> str:
    inside = ", ".join(values)
    return f"{{ {inside} }}" if inside else "{}"


def _values(operator: Operator | None, match: Match) -> Iterator[str]:
    user = _user(operator) or (match.user and match.user.id)
    name = (operator.name if operator else None) or (match.user and excerpt(match.user.name))
    if user:
        yield f"user = {user}"
    if name:
        yield f"name = {json.dumps(excerpt(name), ensure_ascii=False)}"


def _user(operator: Operator | None) -> int | None:
    return operator.user if operator else None


def _key(extension: Extension) -> str:
    return extension if re.fullmatch(r"[A-Za-z0-9_-]+", extension) else json.dumps(extension)
