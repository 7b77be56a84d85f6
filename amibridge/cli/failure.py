"""What a command says when it cannot do what was asked."""

from __future__ import annotations


class CommandFailed(Exception):
    """One sentence for the person who gave the command: what failed, and what to do about it."""
