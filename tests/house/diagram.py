"""The state diagrams of docs/calls.md, printed from the tables of `calls.edges`. ``make docs`` writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from amibridge.calls.edges import CALL_EDGES, CALLEE_EDGES, Edge

DOCUMENT = Path(__file__).parents[2] / "docs" / "calls.md"

State = TypeVar("State", bound=StrEnum)

_PLACE = re.compile(r"(?<=<!-- diagram: (\w{5}) -->\n)```mermaid\n.*?```", re.DOTALL)


def diagram(edges: Mapping[tuple[State, State], Edge | None]) -> str:
    """A mermaid state diagram: what is said on each arrow; nothing on those that say nothing."""
    (first, _), *_ = edges
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for (before, after), edge in edges.items():
        lines.append(f"    {before} --> {after}" + (f": {edge}" if edge is not None else ""))
    return "\n".join([*lines, "```"])


DIAGRAMS = {"phone": diagram(CALLEE_EDGES), "calls": diagram(CALL_EDGES)}


def with_diagrams(text: str) -> str:
    """*text* with each diagram as the tables are now."""
    return _PLACE.sub(lambda place: DIAGRAMS[place[1]], text)


if __name__ == "__main__":
    DOCUMENT.write_text(with_diagrams(DOCUMENT.read_text("utf-8")), encoding="utf-8")
