"""Foreign text made fit for a log line: printable, on one line, and short."""

from __future__ import annotations

EXCERPT = 200
"""Characters of a foreign text that are kept: enough to recognise an error page, too few to flood a log."""


def excerpt(text: str, limit: int = EXCERPT) -> str:
    # Twice the limit is looked at: the rest of a megabyte of markup is not worth the walk.
    printable = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
