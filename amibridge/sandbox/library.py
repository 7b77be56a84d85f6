"""The recorded calls that come with amibridge: real Asterisk, synthetic numbers, the truth about each beside it."""

from __future__ import annotations

from pathlib import Path

TRACES = Path(__file__).parent / "traces"

CLICK_TO_CALL = TRACES / "asterisk22" / "p1_originate_answered.ami"
"""What the sandbox PBX plays when it is asked to place a call."""


def demo_traces() -> dict[str, list[Path]]:
    """The traces of each recorded PBX, plain calls first."""
    stacks = (folder for folder in TRACES.iterdir() if folder.is_dir())
    return {stack.name: sorted(stack.glob("*.ami")) for stack in sorted(stacks, reverse=True)}
