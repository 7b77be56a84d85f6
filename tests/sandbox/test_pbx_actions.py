"""The sandbox PBX answers as Asterisk does: login, filters, ping, click-to-call, and what it does not know."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from amibridge.sandbox.library import CLICK_TO_CALL
from tests.sandbox.ami_client import (
    ABANDONED,
    ANSWERED,
    BUSY,
    OUTGOING,
    AmiClient,
    Headers,
    connected,
    dialled,
    messages,
    named,
    pbx_of,
    values,
)


@pytest.fixture
async def client() -> AsyncIterator[AmiClient]:
    """At a PBX where nothing happens before the first login, and then a call that is busy at once."""
    async with dialled(pbx_of(BUSY)) as client:
        yield client


def proof(challenge: str, secret: str = "demo") -> str:
    return hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()


class TestLogin:
    async def test_the_greeting_is_asterisks(self, client: AmiClient) -> None:
        assert await client.greeting() == b"Asterisk Call Manager/11.0.0\r\n"

    async def test_a_right_secret_is_let_in_and_told_that_asterisk_is_up(self, client: AmiClient) -> None:
        answer = await client.login()
        assert (answer["Response"], answer["Message"]) == ("Success", "Authentication accepted")
        assert (await client.hears("Event: FullyBooted"))["Status"] == "Fully Booted"

    @pytest.mark.parametrize(("username", "secret"), [("amibridge", "wrong"), ("root", "demo"), ("amibridge", "")])
    async def test_any_other_is_refused_and_hung_up(self, client: AmiClient, username: str, secret: str) -> None:
        answer = await client.login(secret, username)
        assert (answer["Response"], answer["Message"]) == ("Error", "Authentication failed")
        assert await client.until_end() == b""

    async def test_a_challenge_keeps_the_secret_off_the_wire(self, client: AmiClient) -> None:
        await client.greeting()
        challenge = (await client.ask("Challenge", AuthType="MD5"))["Challenge"]
        answer = await client.ask("Login", Username="amibridge", AuthType="MD5", Key=proof(challenge))
        assert answer["Response"] == "Success"
        assert (await client.ask("Ping"))["Response"] == "Success"

    async def test_a_wrong_proof_is_refused(self, client: AmiClient) -> None:
        await client.greeting()
        challenge = (await client.ask("Challenge", AuthType="MD5"))["Challenge"]
        answer = await client.ask("Login", Username="amibridge", AuthType="MD5", Key=proof(challenge, "guess"))
        assert answer["Message"] == "Authentication failed"

    async def test_a_proof_without_a_challenge_is_refused(self, client: AmiClient) -> None:
        await client.greeting()
        answer = await client.ask("Login", Username="amibridge", AuthType="MD5", Key=proof(""))
        assert answer["Message"] == "Authentication failed"

    async def test_each_challenge_is_new(self) -> None:
        challenges = set()
        async with pbx_of(BUSY).serve() as address:
            for _ in range(3):
                async with connected(address) as client:
                    await client.greeting()
                    challenges.add((await client.ask("Challenge", AuthType="MD5"))["Challenge"])
        assert len(challenges) == 3

    async def test_a_challenge_of_an_unknown_kind_is_refused(self, client: AmiClient) -> None:
        await client.greeting()
        assert (await client.ask("Challenge"))["Message"] == "Must specify AuthType"

    async def test_before_the_login_nothing_else_is_permitted(self, client: AmiClient) -> None:
        await client.greeting()
        for action in ("Ping", "CoreShowChannels", "Originate", "Filter", "Nonsense"):
            answer = await client.ask(action)
            assert (answer["Response"], answer["Message"]) == ("Error", "Permission denied")

    async def test_names_are_read_without_regard_to_case_and_secrets_are_not_kept(self) -> None:
        pbx = pbx_of(BUSY)
        async with dialled(pbx) as client:
            await client.greeting()
            client.send("action: LOGIN", "actionid: 7", "username: amibridge", "secret: demo")
            while (answer := await client.next()).get("ActionID") != "7":
                pass
            assert answer["Response"] == "Success"
            await client.ask("cOrEsHoWcHaNnElS")
        assert [action["Action"] for action in pbx.received] == ["LOGIN", "cOrEsHoWcHaNnElS"]
        assert "demo" not in str(pbx.received)

    async def test_what_was_asked_is_kept_in_order(self) -> None:
        pbx = pbx_of(BUSY)
        async with dialled(pbx) as client:
            await client.follow()
            await client.ask("Ping")
            assert pbx.connections == 1
        assert [action["Action"] for action in pbx.received] == ["Login", "CoreShowChannels", "Ping"]
        assert all("demo" not in action.values() for action in pbx.received)

    async def test_logoff_says_goodbye_and_hangs_up(self, client: AmiClient) -> None:
        await client.follow()
        answer = await client.ask("Logoff")
        assert (answer["Response"], answer["Message"]) == ("Goodbye", "Thanks for all the fish.")
        assert await client.until_end() == b""


class TestFilter:
    async def heard(self, *filters: str) -> tuple[list[str], list[str]]:
        """The kinds of events that come through *filters*, and all that happened."""
        pbx = pbx_of(ABANDONED, lost=False)
        async with pbx.serve() as address, connected(address) as client, connected(address) as other:
            await other.login()
            await client.login()
            for text in filters:
                answer = await client.ask("Filter", Operation="Add", Filter=text)
                assert (answer["Response"], answer["Message"]) == ("Success", "Filter added successfully")
            assert await client.living() == []
            played = [await one.hears_all(pbx) for one in (client, other)]
        through, everything = ([one["Event"] for one in messages(raw)] for raw in played)
        return through, everything

    async def test_without_one_everything_comes_through(self) -> None:
        through, everything = await self.heard()
        assert through == everything
        assert {"Newchannel", "VarSet", "DialEnd", "HangupRequest", "Hangup", "Cdr"} <= set(everything)

    async def test_a_whitelist_lets_only_what_it_names_through(self) -> None:
        through, _ = await self.heard("Event: Hangup[^A-Za-z]")
        assert through == ["Hangup", "Hangup"]

    async def test_whitelists_are_joined_by_or(self) -> None:
        through, _ = await self.heard("Event: Hangup[^A-Za-z]", "Event: (DialEnd|Newchannel)[^A-Za-z]")
        assert through == ["Newchannel", "Newchannel", "DialEnd", "Hangup", "Hangup"]

    async def test_a_blacklist_keeps_only_what_it_names_away(self) -> None:
        through, everything = await self.heard("!Event: VarSet", "!Event: Newexten")
        assert "VarSet" in everything
        assert through == [kind for kind in everything if kind not in ("VarSet", "Newexten")]

    async def test_the_blacklist_wins(self) -> None:
        through, _ = await self.heard("Event: (Hangup|DialEnd)", "!Event: HangupRequest")
        assert through == ["DialEnd", "Hangup", "Hangup"]

    async def test_a_filter_may_look_at_any_header(self) -> None:
        through, _ = await self.heard("DialStatus: CANCEL")
        assert through == ["DialEnd"]

    async def test_a_bad_regex_is_refused_and_changes_nothing(self, client: AmiClient) -> None:
        await client.login()
        for text in ("(", "!Event: [", "*"):
            answer = await client.ask("Filter", Operation="Add", Filter=text)
            assert answer["Response"] == "Error"
            assert answer["Message"].startswith("Filter did not compile.")
        await client.hears("Event: VarSet")

    @pytest.mark.parametrize("operation", ["Remove", ""])
    async def test_an_unknown_operation_is_refused(self, client: AmiClient, operation: str) -> None:
        await client.login()
        answer = await client.ask("Filter", Operation=operation, Filter="Event: Hangup")
        assert (answer["Response"], answer["Message"]) == ("Error", "Unknown operation")


async def test_a_ping_is_answered_with_the_time_of_day(client: AmiClient) -> None:
    await client.login()
    answer = await client.ask("Ping")
    assert (answer["Response"], answer["Ping"]) == ("Success", "Pong")
    assert abs(float(answer["Timestamp"]) - time.time()) < 5


class TestWhatItTellsOfItself:
    async def test_each_account_is_told_what_it_may_do(self) -> None:
        pbx = pbx_of(BUSY)
        pbx.misbehave(refuses=frozenset({"filter"}))
        async with dialled(pbx) as client:
            await client.login()
            may = await client.ask("ListCommands")
            assert "Filter" not in may
            assert may["CoreShowChannels"].endswith("(Priv: system,reporting,all)")

    async def test_its_version(self, client: AmiClient) -> None:
        await client.login()
        assert (await client.ask("CoreSettings"))["AsteriskVersion"] == "22.10.1"

    @pytest.mark.parametrize(
        ("trace", "pjsip", "sip"), [(ANSWERED, {"101", "trunk"}, set()), (OUTGOING, set(), {"101", "trunk"})]
    )
    async def test_the_endpoints_that_its_traces_show(self, trace: Path, pjsip: set[str], sip: set[str]) -> None:
        pbx = pbx_of(trace)
        async with dialled(pbx) as client:
            await client.login()
            if pjsip:
                await client.ask("PJSIPShowEndpoints")
                await client.hears("Event: EndpointListComplete", f"ListItems: {len(pjsip)}")
            else:
                assert (await client.ask("PJSIPShowEndpoints"))["Message"] == "No endpoints found"
            await client.ask("SIPpeers")
            await client.hears("Event: PeerlistComplete", f"ListItems: {len(sip)}")
            assert set(values(named(client.heard, "EndpointList"), "ObjectName")) == pjsip
            assert set(values(named(client.heard, "PeerEntry"), "ObjectName")) == sip


async def test_an_unknown_action_is_named(client: AmiClient) -> None:
    await client.login()
    answer = await client.ask("MakeCoffee")
    assert answer["Response"] == "Error"
    assert answer["Message"].startswith("Invalid/unknown command: MakeCoffee.")


async def test_what_only_a_real_pbx_does_is_said_to_be_so(client: AmiClient) -> None:
    await client.login()
    for action, asked in (("BlindTransfer", {}), ("Originate", {"Application": "ChanSpy"})):
        answer = await client.ask(action, **asked)
        assert (answer["Response"], answer["Message"].split(", ")[-1]) == ("Error", "ask a real PBX")


async def test_a_missing_action_is_said_to_be_missing(client: AmiClient) -> None:
    await client.greeting()
    client.send("ActionID: 9", "Channel: PJSIP/101")
    answer = await client.next()
    assert (answer["ActionID"], answer["Message"]) == ("9", "Missing action in request")


async def test_an_action_without_an_id_is_answered_without_one(client: AmiClient) -> None:
    await client.greeting()
    client.send("Action: Ping")
    assert "ActionID" not in await client.next()


async def test_what_never_ends_is_hung_up(client: AmiClient) -> None:
    await client.login()
    client.send("x" * 100_000)
    await client.until_end()


class TestClickToCall:
    async def placed(self, **headers: str) -> tuple[Headers, bytes]:
        """The answer, and all that happened until Asterisk said how it went."""
        async with dialled(pbx_of(BUSY)) as client:
            await client.login()
            answer = await client.ask("Originate", ActionID="click-77", **headers)
            if answer["Response"] == "Success":
                await client.hears("Event: OriginateResponse")
                await client.hears("Event: Hangup")
            return answer, client.played

    @pytest.mark.parametrize("channel", ["PJSIP/205", "SIP/205", "Local/205@from-internal/n"])
    async def test_the_asked_phone_calls_the_asked_number(self, channel: str) -> None:
        answer, played = await self.placed(Channel=channel, Exten="89165554433", Context="from-internal")
        assert (answer["Response"], answer["Message"]) == ("Success", "Originate successfully queued")
        [response] = named(played, "OriginateResponse")
        assert (response["ActionID"], response["Response"], response["Exten"]) == ("click-77", "Success", "89165554433")
        call = [one for one in messages(played) if one.get("Linkedid") == response["Uniqueid"]]
        assert {one["Channel"].rpartition("-")[0] for one in call if "Channel" in one} == {"PJSIP/205", "PJSIP/trunk"}
        assert [one["DialString"] for one in call if one["Event"] == "DialBegin"] == ["89165554433@trunk"]
        told = "\n".join(str(one) for one in call)
        assert not re.search(r"(?<![0-9.])(101|89161112233)(?![0-9])", told)

    async def test_the_first_channel_gets_the_id_that_was_asked_for(self) -> None:
        _, played = await self.placed(Channel="PJSIP/205", Exten="89165554433", ChannelId="1795491044.482913047715")
        [response] = named(played, "OriginateResponse")
        assert response["Uniqueid"] == "1795491044.482913047715"
        call = [one for one in messages(played) if one.get("Linkedid") == response["Uniqueid"]]
        assert {one["Channel"].rpartition("-")[0] for one in call if "Channel" in one} == {"PJSIP/205", "PJSIP/trunk"}

    async def test_each_call_that_was_asked_for_has_ids_of_its_own(self) -> None:
        async with dialled(pbx_of(BUSY)) as client:
            await client.login()
            for number in ("1", "2", "3"):
                await client.ask(
                    "Originate", ActionID=f"click-{number}", Channel="PJSIP/101", Exten=f"8916000000{number}"
                )
            responses = [await client.hears("Event: OriginateResponse") for _ in range(3)]
        assert sorted(values(responses, "ActionID")) == ["click-1", "click-2", "click-3"]
        assert len(set(values(responses, "Uniqueid"))) == 3
        channels = named(client.heard, "Newchannel")
        assert len(set(values(channels, "Uniqueid"))) == len(channels)

    async def test_calls_are_placed_after_all_traces_too(self) -> None:
        pbx = pbx_of(BUSY)
        async with dialled(pbx) as client:
            await client.login()
            await client.hears_all(pbx)
            await client.ask("Originate", ActionID="late", Channel="PJSIP/101", Exten="89160000000")
            await client.hears("Event: OriginateResponse", "ActionID: late")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Channel": "PJSIP/205"},
            {"Exten": "89165554433"},
            {"Channel": "Console/dsp", "Exten": "89165554433"},
            {"Channel": "PJSIP/205", "Application": "Playback"},
        ],
        ids=["no number", "no phone", "no telephone", "an application"],
    )
    async def test_what_cannot_be_dialled_is_refused(self, headers: dict[str, str]) -> None:
        answer, played = await self.placed(**headers)
        assert (answer["Response"], answer["ActionID"]) == ("Error", "click-77")
        assert b"OriginateResponse" not in played

    async def test_a_recorded_origination_of_its_own_is_preferred(self) -> None:
        """The third click-to-call on record is one that the customer does not answer."""
        unanswered = CLICK_TO_CALL.with_name("p3_originate_customer_noanswer.ami")
        async with dialled(pbx_of(unanswered, ANSWERED)) as client:
            await client.login()
            await client.hears("Event: BridgeEnter")
            await client.ask("Originate", ActionID="again", Channel="PJSIP/101", Exten="89160000000")
            await client.hears("Event: OriginateResponse", "ActionID: again")
            assert (await client.hears("Event: DialEnd", "DestCallerIDNum: 89160000000"))["DialStatus"] == "NOANSWER"
