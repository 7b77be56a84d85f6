"""As much of PromQL as is needed to see what a query names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FUNCTIONS = {"abs", "absent", "changes", "histogram_quantile", "increase", "rate", "time", "vector"}
AGGREGATIONS = {"count", "max", "min", "sum"}
GROUPING = {"by", "without", "on", "ignoring"}
OPERATORS = {"and", "or", "unless"}

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*")|(?P<name>[A-Za-z_:][\w:]*)|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])
        |(?P<number>\d+(?:\.\d+)?)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(){},]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Selector:
    """*matchers*: (label, sign, text). *over*: whether it is read over a range of time."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    over: bool


@dataclass(frozen=True)
class Query:
    """*labels*: those that are grouped by."""

    selectors: tuple[Selector, ...]
    labels: frozenset[str]


def parse(text: str) -> Query:
    """Raises ValueError."""
    tokens = list(_tokens(text))
    selectors: list[Selector] = []
    labels: set[str] = set()
    depth = at = 0
    while at < len(tokens):
        kind, word = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        elif word in ("{", "}", "=", "=~", "!~", "!=") or kind in ("text", "range"):
            raise ValueError(f"{word!r} belongs to nothing: {text}")
        elif kind == "name" and word in GROUPING:
            end = next(place for place in range(at, len(tokens)) if tokens[place][1] == ")")
            labels |= {name for kind, name in tokens[at + 2 : end] if kind == "name"}
            at = end
        elif kind == "name" and word in FUNCTIONS | AGGREGATIONS:
            if following != "(" and following not in GROUPING:
                raise ValueError(f"{word} of nothing: {text}")
        elif kind == "name" and word not in OPERATORS:
            selector, at = _selector(tokens, at, text)
            selectors.append(selector)
        if depth < 0:
            raise ValueError(f"a ) too many: {text}")
        at += 1
    if depth or not selectors:
        raise ValueError(f"not a query: {text}")
    return Query(tuple(selectors), frozenset(labels))


def _selector(tokens: list[tuple[str, str]], at: int, text: str) -> tuple[Selector, int]:
    """The selector that begins *at*, and where it ends."""
    metric = tokens[at][1]
    matchers: list[tuple[str, str, str]] = []
    if at + 1 < len(tokens) and tokens[at + 1][1] == "{":
        at += 2
        while tokens[at][1] != "}":
            (kind, label), (_, sign), (value_kind, value) = tokens[at : at + 3]
            if (kind, value_kind) != ("name", "text") or sign not in ("=", "=~", "!~", "!="):
                raise ValueError(f"not a matcher at {label}: {text}")
            matchers.append((label, sign, value.strip('"')))
            at += 3
            if tokens[at][1] == ",":
                at += 1
    over = at + 1 < len(tokens) and tokens[at + 1][0] == "range"
    return Selector(metric, tuple(matchers), over), at + over


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"not PromQL at {text[at : at + 20]!r}: {text}")
        assert found.lastgroup is not None
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()
