"""What the tests of rules and dashboard read queries with sees what is wrong with them."""

from __future__ import annotations

import pytest

from tests.contrib.promql import Selector, parse


def test_a_query_is_taken_apart() -> None:
    query = parse('sum by (a, le) (rate(x_total{b!~"c|d",e="f"}[15m])) > 0.2 * time() and on (job) y or vector(0)')
    x = Selector("x_total", (("b", "!~", "c|d"), ("e", "=", "f")), over=True)
    assert query.selectors == (x, Selector("y", (), over=False))
    assert query.labels == {"a", "le", "job"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "time()",
        "sum(x",
        "x)",
        "x{a=b}",
        "x{a}",
        'x "y"',
        "x[5 minutes]",
        "[5m]",
        "rate x",
        "x ; y",
        "x{a=1}",
        "=~ x",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse(text)
