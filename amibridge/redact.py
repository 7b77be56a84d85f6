"""Text that must not be shown. Lowest of all modules: configuration, logs, keys and enterprises all speak of it."""

from __future__ import annotations

HIDDEN = "******"
"""What stands for a secret."""


class Secret(str):
    """A string that never shows itself: its `repr` is stars, so logs and tracebacks stay clean."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)
