"""How the sandbox CRM misbehaves on request: each fault is what some real server did to somebody.

Laws: a fault is used up by the requests it was given for, in the order the faults were given; one request, one fault.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Busy:
    """503. *retry_after*: whole seconds, or an HTTP date; None sends no such header."""

    retry_after: int | str | None = None


@dataclass(frozen=True, slots=True)
class BadGateway:
    """502 with a page for people, as a proxy in front of a dead server sends it."""


@dataclass(frozen=True, slots=True)
class Nonsense:
    """200 with JSON that means nothing, or with *body*."""

    body: str = '["ok", {"successful": "perhaps"}]'


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, ever. *done*: the request was carried out first."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes instead of an answer. *done*: the request was carried out first."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Torn:
    """The connection is reset in the middle of the answer's body. *done*: the request was carried out first."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Partly:
    """Of an upload of more calls only the first *taken* are taken, which the answer says. *status*: 460, as other
    uploads have it, or 200 with ``success: true``."""

    taken: int
    status: Literal[200, 460] = 460


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A right answer when *released* is set. *done*: the request is carried out at once, else after that."""

    released: asyncio.Event
    done: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """A right answer, late. *seconds* pass before the request is carried out."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WrongKey:
    """403, as if the key had been withdrawn."""


@dataclass(frozen=True, slots=True)
class TelephonyOff:
    """400, as if the account's telephony module were not active."""


Fault: TypeAlias = Busy | BadGateway | Nonsense | Hang | Cut | Torn | Partly | Held | Slow | WrongKey | TelephonyOff


@dataclass(slots=True, eq=False)
class _Given:
    fault: Fault
    times: int | None
    path: str
    api_key: str | None
    whole: bool


class Faults:
    """The faults to come. Falsy when there are none."""

    def __init__(self) -> None:
        self._given: list[_Given] = []

    def __bool__(self) -> bool:
        return bool(self._given)

    def give(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        path: str = "/api/",
        api_key: str | None = None,
        whole: bool = False,
    ) -> None:
        """Answer the next *times* requests (None: all until `clear`) like this.

        *path* is the beginning of the paths meant, or the *whole* one; *api_key* the account meant; by default any.
        """
        if times is not None and times < 1:
            raise ValueError("a fault is given for one request at least")
        self._given.append(_Given(fault, times, path, api_key, whole))

    def clear(self) -> None:
        self._given.clear()

    def take(self, path: str, api_key: str) -> Fault | None:
        for given in self._given:
            meant = path == given.path if given.whole else path.startswith(given.path)
            if meant and given.api_key in (None, api_key):
                if given.times is not None:
                    given.times -= 1
                    if given.times == 0:
                        self._given.remove(given)
                return given.fault
        return None
