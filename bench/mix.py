"""What a town asks its bridge: every kind of question in its share, at moments that are as random as life's.

Laws: the same seed asks the same; nobody asks more often than he may, so that 429 is never a right answer; whoever
guesses comes from an address of his own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TypeAlias

from amibridge.secrets import Keyring
from bench.town import OPERATOR, Call, Shop, recording_path
from bench.visitors import CURSOR, Question

SEED = 5
ADDRESSES = 24
"""Where they come from: 500 a second from one would be too many."""

WARM = 40
"""Recordings that are listened to again and again."""

SCRAPED_EVERY = 15.0
TWICE_WITHIN = 0.15
"""Seconds between the clicks of somebody who clicks twice."""

METRICS = "metrics"
COLD = "recording, first mp3"
CLICK = "makecallexternal"

_Ask: TypeAlias = Callable[[float], Question]


@dataclass(frozen=True, slots=True)
class Mix:
    """*clicks*: how many calls are to be placed, repeats left out. *warm*: paths to be asked for beforehand."""

    questions: Sequence[Question]
    clicks: int
    warm: Sequence[str]


def mix(shops: Sequence[Shop], keyring: Keyring, rate: float, seconds: float) -> Mix:
    """Questions that begin within *seconds*, *rate* of them in each."""
    town = _Town(shops, keyring)
    kinds, weights = zip(*town.shares(), strict=True)
    moments = sorted(town.chance.uniform(0, seconds) for _ in range(round(rate * seconds)))
    asked = [kind(at) for at, kind in zip(moments, town.chance.choices(kinds, weights, k=len(moments)), strict=True)]
    asked += [town.again(one) for one in asked if one.kind == CLICK and town.chance.random() < 0.5]
    asked += [town.scraped(at * SCRAPED_EVERY) for at in range(int(seconds // SCRAPED_EVERY) + 1)]
    return Mix(sorted(asked, key=lambda one: one.at), town.clicks, town.warm)


class _Town:
    def __init__(self, shops: Sequence[Shop], keyring: Keyring) -> None:
        self.chance = random.Random(SEED)
        self.clicks = 0
        self._shops = shops
        self._keyring = keyring
        self._strangers = 0
        recordings = [recording_path(keyring, shop, call) for call_of in zip(*(one.calls for one in shops), strict=True)
                      for shop, call in zip(shops, call_of, strict=True)]  # fmt: skip
        self.warm, self._cold = recordings[:WARM], iter(recordings[WARM:])

    def shares(self) -> Iterator[tuple[_Ask, float]]:
        yield self._newest, 16
        yield self._filtered, 12
        yield self._next_page, 6
        yield self._one, 12
        yield self._deliveries, 6
        yield self._part, 8
        yield self._whole, 1
        yield self._head, 1
        yield self._first_mp3, 0.2
        yield self._live, 8
        yield self._ready, 1
        yield self._document, 1
        yield self._hint, 11
        yield self._responsible, 11
        yield self._click, 0.8
        yield self._refused, 5

    def again(self, click: Question) -> Question:
        return Question(click.at + self.chance.uniform(0.01, TWICE_WITHIN), click.kind, click.path, click.source)

    def scraped(self, at: float) -> Question:
        return Question(at, METRICS, "/metrics", "127.0.0.1", words="amibridge_database_up 1.0")

    def _newest(self, at: float) -> Question:
        return self._read(at, "calls, newest", "/api/v1/calls", self._shop())

    def _filtered(self, at: float) -> Question:
        shop = self._shop()
        call = self._call(shop)
        since = call.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = self.chance.choice(
            [f"phone=%2B{call.phone[1:]}", f"operator={call.extension}", "direction=incoming&outcome=missed",
             "outcome=answered", f"since={since}", f"until={since}&direction=outgoing"]
        )  # fmt: skip
        return self._read(at, "calls, filtered", f"/api/v1/calls?{wanted}&limit={self.chance.choice([10, 50])}", shop)

    def _next_page(self, at: float) -> Question:
        shop = self._shop()
        path = f"/api/v1/calls?limit={self.chance.choice([50, 200])}{CURSOR}"
        return self._read(at, "calls, next page", path, shop, reader=shop.number)

    def _one(self, at: float) -> Question:
        shop = self._shop()
        call = self._call(shop)
        return self._read(at, "one call", f"/api/v1/calls/{call.id}", shop, words=call.id)

    def _deliveries(self, at: float) -> Question:
        shop = self._shop()
        call = self._call(shop)
        return self._read(at, "deliveries", f"/api/v1/calls/{call.id}/deliveries", shop, words=call.id)

    def _part(self, at: float) -> Question:
        start = self.chance.choice([0, 0, 65536, 131072])
        ranged = {"Range": f"bytes={start}-{start + 65535}"}
        return Question(at, "recording, part", self._recording(), self._source(), status=206, headers=ranged)

    def _whole(self, at: float) -> Question:
        return Question(at, "recording, whole wav", f"{self._recording()}?format=wav", self._source(), words="RIFF")

    def _head(self, at: float) -> Question:
        return Question(at, "recording, head", self._recording(), self._source(), method="HEAD")

    def _first_mp3(self, at: float) -> Question:
        path = next(self._cold, None)
        if path is None:
            return self._part(at)
        return Question(at, COLD, path, self._source())

    def _live(self, at: float) -> Question:
        return Question(at, "health, live", "/health/live", self._source(), words="live")

    def _ready(self, at: float) -> Question:
        return Question(at, "health, ready", "/health/ready", self._source(), words="ready")

    def _document(self, at: float) -> Question:
        return Question(at, "openapi.json", "/openapi.json", self._source(), words="3.1.0")

    def _hint(self, at: float) -> Question:
        path = f"/retailcrm/webhook/{self._shop().webhook_secret}"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"event=customer.edit&id={self.chance.randrange(1, 500)}"
        return Question(at, "webhook", path, self._source(), words="true", method="POST", headers=form, body=body)

    def _responsible(self, at: float) -> Question:
        phone = f"%2B7916{self.chance.randrange(500):07}"
        path = f"/retailcrm/{self._shop().webhook_secret}/responsible?format=text&phone={phone}"
        return Question(at, "responsible", path, self._source(), alone=True)

    def _click(self, at: float) -> Question:
        self.clicks += 1
        path = f"/api/makecallexternal?code={OPERATOR}&phone=%2B7926{self.clicks:07}&clientId={self._shop().client_id}"
        return Question(at, CLICK, path, self._source(), words="Call initiated")

    def _refused(self, at: float) -> Question:
        shop = self._shop()
        known, kind = {"Authorization": f"Bearer {shop.token}"}, "refused"
        match self.chance.randrange(5):
            case 0:
                return Question(at, kind, "/api/v1/calls", self._source(), status=401, words="unauthorized")
            case 1:
                guess = {"Authorization": f"Bearer amibridge_{at}"}
                return Question(at, kind, "/api/v1/calls", self._stranger(), status=401, headers=guess)
            case 2:
                path = f"/api/v1/calls?limit={self.chance.choice(['0', '1e3', '201'])}"
                return Question(at, kind, path, self._source(), status=400, words="bad_parameter", headers=known)
            case 3:
                other = self._call(self.chance.choice([one for one in self._shops if one is not shop] or [shop]))
                path = f"/api/v1/calls/{other.id if len(self._shops) > 1 else 'none'}"
                return Question(at, kind, path, self._source(), status=404, words="unknown_call", headers=known)
            case _:
                return Question(at, kind, "/retailcrm/webhook/of-nobody", self._source(), status=404, method="POST")

    def _read(self, at: float, kind: str, path: str, shop: Shop, *, words: str = "", reader: str = "") -> Question:
        """A right answer has one of the shop's own calls in it."""
        known, own = {"Authorization": f"Bearer {shop.token}"}, f"pbx{int(shop.number)}:"
        return Question(at, kind, path, self._source(), words=words or own, headers=known, reader=reader)

    def _shop(self) -> Shop:
        return self.chance.choice(self._shops)

    def _call(self, shop: Shop) -> Call:
        return self.chance.choice(shop.calls)

    def _recording(self) -> str:
        return self.chance.choice(self.warm)

    def _source(self) -> str:
        return f"127.0.1.{self.chance.randrange(ADDRESSES) + 1}"

    def _stranger(self) -> str:
        self._strangers += 1
        return f"127.1.{self._strangers // 250 % 250}.{self._strangers % 250 + 1}"
