"""Parking that is asked for becomes one action on the channel that the board tells; or none, and a sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from amibridge.ami.actions import Action
from amibridge.ami.errors import ActionRefused, AmiError, HostUnreachable, LinkLost
from amibridge.ami.events import Uniqueid, is_fetch
from amibridge.ami.session import Reply
from amibridge.ami.wire import Message
from amibridge.calls.clicks import ClickRefused
from amibridge.calls.conversations import Conversation
from amibridge.calls.parking import AskedToFetch, AskedToPark, Fetched, ParkedThere
from amibridge.calls.record import CallId, Extension
from amibridge.calls.transfers import TransferFailed, TransferRefused, Why
from amibridge.calls.waiting import Fate, Parked, Ringing
from amibridge.enterprises import AmiHost
from amibridge.runtime import fetching, parking
from amibridge.runtime.fetching import Fetcher
from amibridge.runtime.handing import Sight
from amibridge.runtime.one_at_a_time import OneAtATime
from amibridge.runtime.parking import Parker
from tests.runtime.placing import PaperPbx, shop

CALL, OTHER_CALL = CallId("pbx1:1.1"), CallId("pbx1:2.1")
UNTIL = datetime(2026, 11, 30, 22, tzinfo=UTC)
PHONE = "PJSIP/101-00000001"
TALKS = Conversation(CALL, Uniqueid("1.2"), PHONE, False, True, Uniqueid("1.1"), True)
PARKED = Parked(CALL, Uniqueid("1.1"), "default", "701", UNTIL, "+79161234567", "Иван «Ваня» Петров")
RINGS = Ringing(CALL, "PJSIP/102-00000007", None, None)
HAS_HIM = Conversation(CALL, Uniqueid("9.9"), PHONE, False, True, Uniqueid("1.1"), True)
HOSTILE = ["../101", "101\r\nAction: Hangup", "101&102", "101\0", "${EXTEN}", "1" * 4096, "PJSIP/101", ""]


@dataclass
class Board:
    talks: dict[str, list[Conversation]] = field(default_factory=dict)
    rings: dict[str, list[Ringing]] = field(default_factory=dict)
    waits: list[Parked] = field(default_factory=list)
    fates: Fate = Fate.RINGS

    def conversations(self, extension: Extension) -> list[Conversation]:
        return self.talks.get(extension, [])

    def ringing(self, extension: Extension) -> list[Ringing]:
        return self.rings.get(extension, [])

    def parked(self) -> list[Parked]:
        return self.waits

    def fate(self, channel: Uniqueid) -> Fate:
        return self.fates


@dataclass
class Pbx(PaperPbx):
    """*then*: what the boards show after an action of that name."""

    boards: dict[tuple[str, str], Board] = field(default_factory=dict)
    then: dict[str, Board] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    async def send(self, host: AmiHost, action: Action) -> Reply:
        await super().send(host, action)
        await asyncio.sleep(0)  # as long as any link takes
        self.boards[host.enterprise, host.name] = self.then.get(action.name, self.boards[host.enterprise, host.name])
        return Reply("", True, Message({"Value": "PJSIP/101-00000003"}))

    def see(self, host: AmiHost) -> Sight:
        if host.name in self.down:
            raise HostUnreachable("it is away")
        return self.boards.get((host.enterprise, host.name), Board())

    @property
    def actions(self) -> list[tuple[str, dict[str, str]]]:
        return [(action.name, dict(action.headers)) for _, _, action in self.asked]

    async def park(self, asked: AskedToPark, *hosts: str) -> object:
        return await Parker(self.send, self.see, OneAtATime()).park(shop("0123", *hosts), asked)

    async def fetch(self, asked: AskedToFetch, *hosts: str) -> object:
        return await Fetcher(self.send, self.see, OneAtATime()).fetch(shop("0123", *hosts), asked)


def showing(board: Board, host: str = "pbx1", enterprise: str = "0123", **then: Board) -> Pbx:
    return Pbx(boards={(enterprise, host): board}, then=then)


def talking(*conversations: Conversation, host: str = "pbx1", enterprise: str = "0123") -> Pbx:
    parked = Board(waits=[PARKED, replace(PARKED, call=OTHER_CALL, party=Uniqueid("2.1"))])
    return showing(Board({"101": list(conversations)}), host, enterprise, Park=parked)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "PARKED_WITHIN", timedelta(milliseconds=60))
    monkeypatch.setattr(fetching, "RUNG_WITHIN", timedelta(milliseconds=200))
    monkeypatch.setattr(fetching, "ON_THE_WAY", timedelta(milliseconds=60))


class TestParking:
    @pytest.mark.parametrize("beside", [True, False])
    async def test_the_other_is_parked_and_the_operator_is_free(self, beside: bool) -> None:
        pbx = talking(replace(TALKS, beside=beside))
        done = await pbx.park(AskedToPark("101", " 45 "))
        assert pbx.actions == [
            ("Getvar", {"Channel": "1.2", "Variable": "CHANNEL(name)"}),
            ("Park", {"Channel": "1.1", "TimeoutChannel": "PJSIP/101-00000003", "Timeout": "45000"}),
            *([] if beside else [("Hangup", {"Channel": "1.2"})]),
        ]
        assert isinstance(done, ParkedThere)
        assert (done.call, done.host, done.space, done.until) == (CALL, "10.0.0.5", "701", UNTIL)

    async def test_without_a_timeout_the_lot_has_its_own(self) -> None:
        pbx = talking(TALKS)
        await pbx.park(AskedToPark("101"))
        assert "Timeout" not in pbx.actions[-1][1]

    @pytest.mark.parametrize(
        ("conversations", "asked", "why"),
        [
            ([], AskedToPark("101"), Why.NO_CALL),
            ([TALKS], AskedToPark("103"), Why.NO_CALL),
            ([TALKS], AskedToPark("101", call="pbx1:9.9"), Why.NO_CALL),
            ([TALKS, replace(TALKS, call=OTHER_CALL)], AskedToPark("101"), Why.SEVERAL),
            ([replace(TALKS, consulting=True)], AskedToPark("101"), Why.CONSULTING),
            ([replace(TALKS, other=None)], AskedToPark("101"), Why.NOT_TWO),
            *(([TALKS], AskedToPark("101", text), Why.NO_TIMEOUT)
              for text in ("0", "-1", "1.5", "86401", "", "1e3", "٣", "45\r\nAction: Hangup", "9" * 4096)),
        ],
    )  # fmt: skip
    async def test_what_cannot_be_is_refused(
        self, conversations: list[Conversation], asked: AskedToPark, why: Why
    ) -> None:
        pbx = talking(*conversations)
        with pytest.raises(TransferRefused) as refused:
            await pbx.park(asked)
        assert (refused.value.why, pbx.asked) == (why, [])

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_what_is_no_extension_is_refused(self, text: str) -> None:
        pbx = talking(TALKS)
        with pytest.raises(ClickRefused):
            await pbx.park(AskedToPark(text))
        assert pbx.asked == []

    async def test_of_several_the_one_that_is_named_is_meant(self) -> None:
        pbx = talking(TALKS, Conversation(OTHER_CALL, Uniqueid("2.2"), PHONE, False, True, Uniqueid("2.1"), True))
        await pbx.park(AskedToPark("101", call=OTHER_CALL))
        assert pbx.actions[-1][1]["Channel"] == "2.1"

    async def test_the_calls_of_others_are_not_looked_at(self) -> None:
        with pytest.raises(TransferRefused) as refused:
            await talking(TALKS, enterprise="0124").park(AskedToPark("101"))
        assert refused.value.why is Why.NO_CALL

    async def test_a_host_that_is_away_is_not_nobody(self) -> None:
        pbx = talking(TALKS, host="pbx2")
        pbx.down = {"pbx2"}
        with pytest.raises(TransferFailed, match="pbx2: it is away"):
            await pbx.park(AskedToPark("101"), "pbx1", "pbx2")

    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            (ActionRefused("Permission denied"), "`write` of the AMI account needs call"),
            (
                ActionRefused("Invalid/unknown command: Park."),
                "res_parking is not loaded on the PBX: `module load res_parking`",
            ),
            (LinkLost("it fell silent"), None),
        ],
    )
    async def test_what_the_pbx_says_is_told_and_logged(self, error: AmiError, advice: str | None) -> None:
        pbx = talking(TALKS)
        pbx.fails = error
        with capture_logs() as lines, pytest.raises(TransferFailed, match=f"^pbx1: {error}$"):
            await pbx.park(AskedToPark("101"))
        [line] = lines
        assert (line["event"], line.get("advice")) == ("parking_not_made", advice)

    async def test_a_word_that_nothing_follows_is_a_failure(self) -> None:
        pbx = talking(TALKS)
        pbx.then = {}
        with pytest.raises(TransferFailed, match="is the parking lot full"):
            await pbx.park(AskedToPark("101"))

    async def test_one_thing_at_a_time_whatever_it_is(self) -> None:
        pbx = talking(TALKS)
        pbx.boards["0123", "pbx1"].rings["102"] = [RINGS]
        turns = OneAtATime()
        parker, fetcher = Parker(pbx.send, pbx.see, turns), Fetcher(pbx.send, pbx.see, turns)
        one, two, other = await asyncio.gather(
            parker.park(shop(), AskedToPark("101")),
            parker.park(shop(), AskedToPark("101")),
            fetcher.fetch(shop(), AskedToFetch("101", "102")),
            return_exceptions=True,
        )
        assert one is two
        assert getattr(other, "why", None) is Why.BUSY
        assert [name for name, _ in pbx.actions] == ["Getvar", "Park"]


class TestFetching:
    async def test_who_is_parked_is_brought_to_a_phone_that_shows_him(self) -> None:
        pbx = showing(Board(waits=[PARKED]), Originate=Board({"103": [HAS_HIM]}))
        done = await pbx.fetch(AskedToFetch("103", space=" 701 "))
        [(_, _, action)] = pbx.asked
        said = dict(action.headers)
        assert (action.name, said["Channel"], said["Application"], said["Data"]) == (
            "Originate", "Local/103@from-internal/n", "ParkedCall", "default,701",
        )  # fmt: skip
        assert is_fetch(said["ChannelId"])
        assert said["ActionID"] == f"amibridge-{said['ChannelId']}"
        assert pbx.headers["Variable"] == [
            "CALLERID(num)=103", "CONNECTEDLINE(num,i)=+79161234567", "CONNECTEDLINE(name,i)=Иван Ваня Петров",
        ]  # fmt: skip
        assert isinstance(done, Fetched)
        assert (done.call, done.host, done.place) == (CALL, "10.0.0.5", "701")

    async def test_who_rings_is_picked_up_by_the_name_of_the_channel(self) -> None:
        pbx = showing(Board(rings={"102": [RINGS]}), Originate=Board({"103": [HAS_HIM]}))
        await pbx.fetch(AskedToFetch("103", "102"))
        [(name, said)] = pbx.actions
        assert (name, said["Application"], said["Data"]) == ("Originate", "PickupChan", "PJSIP/102-00000007")
        assert pbx.headers["Variable"] == ["CALLERID(num)=103"]

    @pytest.mark.parametrize(
        ("board", "asked", "why"),
        [
            (Board(), AskedToFetch("103", "102"), Why.NOT_RINGING),
            (Board(), AskedToFetch("103", space="701"), Why.NOT_PARKED),
            (Board(waits=[PARKED]), AskedToFetch("103", space="702"), Why.NOT_PARKED),
            (Board(waits=[PARKED]), AskedToFetch("103", space="701", call="pbx1:9.9"), Why.NOT_PARKED),
            (
                Board(waits=[PARKED, replace(PARKED, call=OTHER_CALL, lot="other")]),
                AskedToFetch("103", space="701"), Why.SEVERAL,
            ),
            (Board(rings={"102": [RINGS, replace(RINGS, call=OTHER_CALL)]}), AskedToFetch("103", "102"), Why.SEVERAL),
            (Board(rings={"102": [RINGS]}), AskedToFetch("102", "102"), Why.TO_HIMSELF),
            (Board(waits=[PARKED]), AskedToFetch("103"), Why.ONE_PLACE),
            (Board(waits=[PARKED]), AskedToFetch("103", "102", "701"), Why.ONE_PLACE),
            *((Board(waits=[PARKED]), AskedToFetch("103", space=text), Why.NO_SPACE)
              for text in (*HOSTILE, "701,702", "default,701", "٧٠١", "-1")),
        ],
    )  # fmt: skip
    async def test_what_cannot_be_is_refused(self, board: Board, asked: AskedToFetch, why: Why) -> None:
        pbx = showing(board)
        with pytest.raises(TransferRefused) as refused:
            await pbx.fetch(asked)
        assert (refused.value.why, pbx.asked) == (why, [])

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_what_is_no_extension_is_refused(self, text: str) -> None:
        pbx = showing(Board(waits=[PARKED], rings={text: [RINGS]}))
        for asked in (AskedToFetch(text, space="701"), AskedToFetch("103", text)):
            with pytest.raises(ClickRefused):
                await pbx.fetch(asked)
        assert pbx.asked == []

    @pytest.mark.parametrize(
        ("then", "why", "let_go"),
        [
            (Board(rings={"102": [RINGS]}, fates=Fate.GONE), Why.NOT_TAKEN, False),
            (Board(rings={"102": [RINGS]}, fates=Fate.RINGS), Why.NOT_TAKEN, True),
            (Board(fates=Fate.RINGS), Why.GONE, True),
            (Board(fates=Fate.TAKEN), Why.GONE, True),
            (Board(fates=Fate.LEFT), Why.GONE, False),
        ],
    )
    async def test_what_comes_to_nothing_is_said_and_rings_no_more(self, then: Board, why: Why, let_go: bool) -> None:
        pbx = showing(Board(rings={"102": [RINGS]}), Originate=then)
        with pytest.raises(TransferRefused) as refused:
            await pbx.fetch(AskedToFetch("103", "102"))
        assert refused.value.why is why
        (_, originate), *rest = pbx.actions
        assert rest == ([("Hangup", {"Channel": originate["ChannelId"]})] if let_go else [])

    async def test_a_conversation_that_was_there_before_is_not_it(self) -> None:
        then = Board({"103": [HAS_HIM]}, {"102": [RINGS]}, fates=Fate.GONE)
        pbx = showing(Board({"103": [HAS_HIM]}, {"102": [RINGS]}), Originate=then)
        with pytest.raises(TransferRefused) as refused:
            await pbx.fetch(AskedToFetch("103", "102"))
        assert refused.value.why is Why.NOT_TAKEN

    async def test_a_phone_that_was_taken_and_got_nobody_is_a_failure(self) -> None:
        left = Board(rings={"102": [RINGS]}, fates=Fate.LEFT)
        pbx = showing(Board(rings={"102": [RINGS]}), Originate=left)
        with pytest.raises(TransferFailed, match="gave him nobody"):
            await pbx.fetch(AskedToFetch("103", "102"))

    async def test_what_the_pbx_says_is_told_and_logged(self) -> None:
        pbx = showing(Board(rings={"102": [RINGS]}))
        pbx.fails = ActionRefused("Permission denied")
        with capture_logs() as lines, pytest.raises(TransferFailed, match=r"^pbx1: Permission denied$"):
            await pbx.fetch(AskedToFetch("103", "102"))
        [line] = lines
        assert (line["event"], line["advice"]) == (
            "call_not_fetched", "`write` of the AMI account needs originate",
        )  # fmt: skip

    async def test_a_lot_with_a_comma_is_no_argument(self) -> None:
        pbx = showing(Board(waits=[replace(PARKED, lot="a,b")]))
        with pytest.raises(TransferFailed):
            await pbx.fetch(AskedToFetch("103", space="701"))
        assert pbx.asked == []
