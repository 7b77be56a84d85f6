"""The words of the command line. A published interface: commands and options may be added, never renamed.

Laws: nothing here imports what a command needs, so that `--help` is immediate; every `--help` shows an example.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from amibridge import __version__

Command: TypeAlias = Callable[[argparse.Namespace], int]

_INVALID_CHOICE = re.compile(r"invalid choice: '?(?P<word>[^']*?)'? \(choose from (?P<known>.*)\)", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Usage and one sentence, with the nearest word when one was misspelt; exit code 2."""
        if choice := _INVALID_CHOICE.search(message):
            close = get_close_matches(choice["word"], re.findall(r"[\w-]+", choice["known"]), n=1)
            meant = f"did you mean '{close[0]}'?" if close else f"there are {choice['known']}"
            message = f"unknown word '{choice['word']}'; {meant}"
        super().error(message)


def parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole program; a parsed command line holds its entry of *commands* as ``command``."""
    whole = _Parser(
        prog="amibridge",
        description="Joins Asterisk (AMI) with RetailCRM: popups when a phone rings, history when the call is over.",
        epilog="example:\n  amibridge demo",
    )
    whole.add_argument("--version", action="version", version=f"amibridge {__version__}")
    words = whole.add_subparsers(metavar="COMMAND", required=True)
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config", type=Path, metavar="FILE", help="amibridge.toml (default: /etc/amibridge/amibridge.toml, if there)"
    )

    def command(
        group: Any, name: str, says: str, example: str, *, of: str = "", parents: tuple[Any, ...] = (configured,)
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = group.add_parser(
            name,
            help=says,
            description=f"{says[0].upper()}{says[1:]}.",
            epilog=f"example:\n  {example}",
            parents=parents,
        )
        added.set_defaults(command=commands[f"{of}{name}"])
        return added

    command(words, "run", "run the daemon", "amibridge run --config /etc/amibridge/amibridge.toml")

    demo = command(
        words, "demo", "show everything on this machine, with nothing installed", "amibridge demo", parents=()
    )
    demo.add_argument("--port", type=_port, metavar="N", help="where the page is served (default: chosen by the demo)")
    demo.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="how much faster than life (default: 1)")
    demo.add_argument("--once", action="store_true", help="end when the traces have been played, with a summary")

    replay = command(
        words, "replay", "print the calls in raw AMI bytes", "amibridge replay incoming.ami.gz", parents=()
    )
    replay.add_argument("trace", nargs="+", metavar="TRACE", help="a file, a .gz file, or - for standard input")
    replay.add_argument("--host", metavar="NAME", help="the host it was captured on: begins the call ids")
    replay.add_argument("--enterprise", type=Path, metavar="FILE", help="enterprise file with its numbering")
    replay.add_argument("--facts", action="store_true", help="print every fact instead of call records")
    replay.add_argument("--render", action="store_true", help="also print the CRM requests; needs --enterprise")

    capture = command(
        words,
        "capture",
        "write what a PBX says into a trace, or cut one call out of its last hours",
        "amibridge capture pbx1 -o now.ami.gz --seconds 60\n"
        "  amibridge capture --call pbx1:1795491044.6 --mask -o odd.ami",
    )
    capture.add_argument("host", nargs="?", metavar="HOST", help="as pbx1, or 0123/pbx1 where two have that name")
    capture.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a new file, packed if .gz (default: stdout)"
    )
    capture.add_argument("--force", action="store_true", help="write over a file that is there")
    capture.add_argument("--call", metavar="ID", help="cut this call out of what is kept of its host")
    capture.add_argument("--mask", action="store_true", help="other numbers and names in place of the real ones")
    capture.add_argument("--seconds", type=_seconds, metavar="N", help="end after so long (default: on Ctrl-C)")
    capture.add_argument("--enterprise", type=Path, metavar="FILE", help="enterprise file with the host; no database")

    enterprise = words.add_parser(
        "enterprise",
        help="the enterprises that are served",
        description="The enterprises that are served: what their files say, put into the database.",
        epilog="example:\n  amibridge enterprise apply enterprises/*.toml",
    ).add_subparsers(metavar="COMMAND", required=True)
    apply = command(
        enterprise,
        "apply",
        "put enterprise files into the database and print what changed",
        "amibridge enterprise apply enterprises/0123.toml",
        of="enterprise ",
    )
    apply.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command(enterprise, "list", "list the enterprises", "amibridge enterprise list", of="enterprise ")
    for name, says in (("show", "show one enterprise, without its secrets"), ("remove", "stop serving an enterprise")):
        one = command(enterprise, name, says, f"amibridge enterprise {name} 0123", of="enterprise ")
        one.add_argument("number", metavar="N", help="the enterprise's number")

    retailcrm = words.add_parser(
        "retailcrm",
        help="our module in an enterprise's CRM",
        description="Our telephony module in an enterprise's RetailCRM account, and who has which extension there.",
        epilog="example:\n  amibridge retailcrm register 0123",
    ).add_subparsers(metavar="COMMAND", required=True)
    for name, says in (
        ("register", "register the module, or write what is not as it should be"),
        ("status", "show what is not as it should be, and what to do; exit code 1 when something is not"),
        ("users", "match users with extensions, and show contradictions; exit code 1 when there are some"),
    ):
        asked = command(retailcrm, name, says, f"amibridge retailcrm {name} 0123", of="retailcrm ")
        asked.add_argument("number", metavar="N", help="the enterprise's number")
        if name == "register":
            asked.add_argument(
                "--deactivate", action="store_true", help="switch the module off: nothing is sent any more"
            )

    token = words.add_parser(
        "token",
        help="what opens an enterprise's API",
        description="What opens an enterprise's API: tokens, several at once, each for some things and for some time.",
        epilog="example:\n  amibridge token add 0123 --scope read",
    ).add_subparsers(metavar="COMMAND", required=True)
    for name, says, example in (
        ("add", "make a token and print it, once", "amibridge token add 0123 --scope call --scope read --expires 90d"),
        ("list", "list the tokens that were made", "amibridge token list 0123"),
        ("revoke", "take a token back", "amibridge token revoke 0123 3"),
    ):
        asked = command(token, name, says, example, of="token ")
        asked.add_argument("number", metavar="N", help="the enterprise's number")
        if name == "add":
            asked.add_argument(
                "--scope", action="append", required=True, choices=("call", "supervise", "read", "recordings"),
                help="what it opens: docs/api.md says which route needs which; may be given several times",
            )  # fmt: skip
            asked.add_argument(
                "--expires", type=_expiry, metavar="WHEN", help="as 90d, 2027-01-31 or a time (default: never)"
            )
        elif name == "revoke":
            asked.add_argument("id", type=_row, metavar="ID", help="its id, as `amibridge token list` prints it")

    database = words.add_parser(
        "db",
        help="the database",
        description="The database: its tables.",
        epilog="example:\n  amibridge db upgrade",
    ).add_subparsers(metavar="COMMAND", required=True)
    command(database, "upgrade", "bring the tables up to date", "amibridge db upgrade", of="db ")

    call = command(
        words,
        "call",
        "ring an operator, then a customer, through the running bridge",
        "amibridge call 0123 --from 101 --to +79161112233",
    )
    call.add_argument("number", metavar="N", help="the enterprise's number")
    call.add_argument("--from", dest="extension", required=True, metavar="EXT", help="the operator's extension")
    call.add_argument("--to", dest="phone", required=True, metavar="PHONE", help="the customer's number")

    deliveries = command(
        words,
        "deliveries",
        "list what the CRM and webhooks were told, or are still to be told",
        "amibridge deliveries 0123 --state parked\n  amibridge deliveries 0123 --call pbx1:1795491044.6",
    )
    deliveries.add_argument("number", metavar="N", help="the enterprise's number")
    deliveries.add_argument("--state", choices=("due", "sent", "dropped", "parked"), help="only those in this state")
    whose = deliveries.add_mutually_exclusive_group()
    whose.add_argument("--call", metavar="ID", help="only those of one call")
    whose.add_argument(
        "--phone", type=_digits, metavar="NUMBER", help="only those of calls with this number, or one that ends so"
    )
    deliveries.add_argument(
        "--requests", action="store_true", help="the newest requests to the CRM instead, whatever they were about"
    )
    deliveries.add_argument("--resend", nargs="+", type=_row, metavar="ID", help="as `amibridge resend`")
    form = deliveries.add_mutually_exclusive_group()
    form.add_argument("--text", action="store_true", help="for people, which is the default on a terminal")
    form.add_argument("--json", action="store_true", help="JSON lines, which is the default elsewhere")

    resend = command(
        words,
        "resend",
        "tell the CRM or a webhook what was given up, after its reason was mended",
        "amibridge resend 0123 --parked\n  amibridge resend 0123 17 18",
    )
    resend.add_argument("number", metavar="N", help="the enterprise's number")
    which = resend.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], type=_row, metavar="ID", help="these deliveries")
    which.add_argument("--call", metavar="ID", help="all of one call")
    which.add_argument("--parked", action="store_true", help="all that is parked")

    doctor = command(
        words,
        "doctor",
        "look at everything this installation depends on, and say what to do",
        "amibridge doctor\n  amibridge doctor 0123\n  amibridge doctor 0123 --live",
    )
    doctor.add_argument("number", nargs="?", metavar="N", help="an enterprise's number: all about that one")
    doctor.add_argument("--json", action="store_true", help="print JSON lines")
    doctor.add_argument(
        "--live", action="store_true", help="also ask N's account how RetailCRM behaves where nobody documents it"
    )
    doctor.add_argument(
        "--write", action="store_true", help="with --live: also what leaves a test customer, two calls and a task there"
    )
    return whole


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number up to 65535")
    return int(text)


def _expiry(text: str) -> datetime | timedelta:
    """How long from now, or when; a time without a zone is UTC."""
    if re.fullmatch(r"[1-9][0-9]{0,4}d", text):
        return timedelta(days=int(text[:-1]))
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("write when as 90d, 2027-01-31 or 2027-01-31T18:00+03:00") from None


def _row(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError("an id is a whole number, as it is listed")
    return int(text)


def _digits(text: str) -> str:
    """The last nine: what a number has before them is spelt in many ways."""
    digits = re.sub(r"[\s()+.\-•]", "", text)
    if not (digits.isascii() and digits.isdigit() and len(digits) >= 4):
        raise argparse.ArgumentTypeError("a number, or its end, is four digits at least")
    return digits[-9:]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 10_000_000:
        raise argparse.ArgumentTypeError("a time is a number of seconds above 0")
    return seconds


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 10_000:
        raise argparse.ArgumentTypeError("a speed is a number above 0, at most 10000")
    return speed
