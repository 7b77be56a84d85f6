"""The ends of a path as the PBX wrote it: its folder may be called otherwise where we read it. Pure."""

from __future__ import annotations

DEEPEST = 16
"""Names in a path; each of them is a question to a machine that may be far away. Dated folders need eight."""

LONGEST_NAME = 255
"""Bytes, as file systems have it."""


def ends_of(path: str) -> list[tuple[str, ...]]:
    """Each end as names from the root of the folder, the longest first; none for a path that no PBX would write.

    No name is empty, ``.`` or ``..``, none holds a slash, a backslash or a control character.
    """
    names = [name for name in path.split("/") if name not in ("", ".")]
    if len(names) > DEEPEST or not all(map(_is_plain, names)):
        return []
    return [tuple(names[start:]) for start in range(len(names))]


class Habits:
    """How much of the PBX's paths is not there, at each place, as the last recording that was found showed.

    So that the next is found by one question, where a folder lies as deep as before.
    """

    def __init__(self) -> None:
        self._left_out: dict[str, int] = {}

    def ends_of(self, place: str, path: str) -> list[tuple[str, ...]]:
        """As `ends_of`, but the one that is likely comes first."""
        ends = ends_of(path)
        usual = self._left_out.get(place, 0)
        return ends[usual : usual + 1] + ends[:usual] + ends[usual + 1 :]

    def found(self, place: str, path: str, end: tuple[str, ...]) -> None:
        self._left_out[place] = len(ends_of(path)) - len(end)


def _is_plain(name: str) -> bool:
    try:
        length = len(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False
    odd = any(ord(letter) < 32 or letter in "\\\x7f" for letter in name)
    return name != ".." and length <= LONGEST_NAME and not odd
