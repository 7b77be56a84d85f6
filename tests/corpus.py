"""All recorded traces with the truth about them: the ones the sandbox ships and the ones only tests use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import amibridge.sandbox

ROOTS = (Path(amibridge.sandbox.__path__[0]) / "traces", Path(__file__).parent / "traces")

QUICK = frozenset(
    ("asterisk22", kind)
    for kind in (
        "a_inbound_answered_caller_hangup", "c_inbound_noanswer_timeout", "d_inbound_caller_abandons",
        "e_inbound_busy", "h_ringgroup_102_answers", "i_queue_second_member", "k_outbound_answered_caller_hangup",
        "l2_outbound_noanswer", "m_internal_answered", "n1_blind_refer", "p1_originate_answered",
    )
) | {("asterisk16-chan_sip", "a_inbound_answered_caller_hangup")}  # fmt: skip
"""One of each everyday kind: enough to see in seconds that something is broken. All the others count as slow."""

SAME_CALLS_AS = {"asterisk22-tracker": "asterisk22"}
"""Traces of the same moments seen through a server-side filter: the truth lies with the unfiltered ones."""


@dataclass(frozen=True)
class Trace:
    stack: str
    kind: str
    path: Path
    truth: Path

    @property
    def is_quick(self) -> bool:
        return (self.stack, self.kind) in QUICK

    def __str__(self) -> str:
        return f"{self.stack}/{self.kind}"


def _kind(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".ami")


def _truth(stack: str, path: Path) -> Path:
    name = _kind(path) + ".truth.json" + (".gz" if path.suffix == ".gz" else "")
    folder = SAME_CALLS_AS.get(stack, stack)
    return next(found for root in ROOTS if (found := root / folder / name).exists())


def _traces() -> Iterator[Trace]:
    for root in ROOTS:
        for path in root.glob("*/*.ami*"):
            stack = path.parent.name
            yield Trace(stack, _kind(path), path, _truth(stack, path))


TRACES: tuple[Trace, ...] = tuple(sorted(_traces(), key=str))
