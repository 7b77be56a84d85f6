"""The pictures in the documents are those of the tables."""

from __future__ import annotations

from amibridge.calls.edges import CALL_EDGES, CALLEE_EDGES
from tests.house.diagram import DIAGRAMS, DOCUMENT, with_diagrams


def test_the_document_shows_the_tables_as_they_are() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert all(f"<!-- diagram: {name} -->" in text for name in DIAGRAMS)
    assert with_diagrams(text) == text


def test_every_edge_is_an_arrow() -> None:
    arrows = [line for diagram in DIAGRAMS.values() for line in diagram.splitlines() if "-->" in line]
    assert len(arrows) == len(CALLEE_EDGES) + len(CALL_EDGES) + 2
    assert "    new --> ringing: rang" in arrows
